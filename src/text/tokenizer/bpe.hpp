#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "d2c/text/tokenizer.hpp"

#include "tokenizer/field.hpp"
#include "tokenizer/merge_table.hpp"
#include "tokenizer/vocabulary.hpp"

namespace d2c::text {

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

 private:
  void read_vocabulary(const Field& field);
  void read_merges(const Field& field);
  void add_merge(const Field& merges, std::size_t index, std::string_view left,
                 std::string_view right);
  void split_into_symbols(std::string_view word, Scratch& scratch) const;
  bool append_bytes(std::string_view symbol, Scratch& scratch) const;
  [[nodiscard]] TokenId unknown_id() const;
  void merge(Scratch& scratch) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  std::vector<std::optional<TokenId>> byte_tokens_;  ///< <0x00> ... <0xFF>; empty = off
  std::optional<std::string> unknown_token_;
  std::string continuing_prefix_;  ///< before every symbol of a word but the first
  std::string end_suffix_;         ///< behind the last symbol of a word
  bool fuse_unknown_;
  bool ignore_merges_;
};

}  // namespace d2c::text
