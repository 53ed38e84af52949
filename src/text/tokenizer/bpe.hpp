#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "d2c/text/tokenizer.hpp"

#include "tokenizer/field.hpp"

namespace d2c::text {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};
using Vocabulary = std::unordered_map<std::string, TokenId, TextHash, std::equal_to<>>;

/// Byte pair encoding: the symbols of a word are merged in the order of the ranks of the merges,
/// leftmost first. Source: Sennrich, Haddow, Birch, "Neural machine translation of rare words with
/// subword units", ACL 2016; details as in the BPE model of Hugging Face tokenizers.
class BpeModel {
 public:
  /// @param field  the `model` of a tokenizer.json
  explicit BpeModel(const Field& field);

  /// Working memory of `encode`, kept from word to word.
  struct Scratch {
    struct Symbol {
      TokenId id;  ///< -1 = merged into a symbol further left
      std::int32_t previous;
      std::int32_t next;  ///< -1 = the last
    };
    std::vector<Symbol> symbols;
    std::vector<std::uint64_t> queue;  ///< heap of rank << 32 | index of the left symbol
  };

  /// Appends the ids of one pre-tokenized word (valid UTF-8). O(n log n) in its length.
  void encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const;

  [[nodiscard]] const Vocabulary& vocabulary() const { return vocabulary_; }
  [[nodiscard]] std::optional<TokenId> id_of(std::string_view token) const;
  [[nodiscard]] std::optional<std::string_view> token_of(TokenId id) const;
  [[nodiscard]] TokenId largest_id() const { return largest_id_; }

 private:
  struct Merge {
    std::uint32_t rank;
    TokenId result;
  };

  void read_vocabulary(const Field& field);
  void read_merges(const Field& field);
  void add_merge(const Field& merges, std::size_t index, std::string_view left,
                 std::string_view right);
  void split_into_symbols(std::string_view word, Scratch& scratch) const;
  bool append_bytes(std::string_view symbol, Scratch& scratch) const;
  [[nodiscard]] TokenId unknown_id() const;
  void merge(Scratch& scratch) const;
  [[nodiscard]] const Merge* find_merge(TokenId left, TokenId right) const;

  Vocabulary vocabulary_;
  std::unordered_map<TokenId, std::string_view> tokens_;  ///< views of the vocabulary's keys
  std::unordered_map<std::uint64_t, Merge> merges_;       ///< key: left id << 32 | right id
  std::vector<std::optional<TokenId>> byte_tokens_;       ///< <0x00> ... <0xFF>; empty = off
  std::optional<std::string> unknown_token_;
  std::string continuing_prefix_;  ///< before every symbol of a word but the first
  std::string end_suffix_;         ///< behind the last symbol of a word
  TokenId largest_id_ = -1;
  bool fuse_unknown_;
  bool ignore_merges_;
};

}  // namespace d2c::text
