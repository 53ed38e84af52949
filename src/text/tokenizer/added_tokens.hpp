#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "steps/normalizer.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/field.hpp"
#include "tokenizer/piece.hpp"
#include "tokenizer/tokenizer_config.hpp"

namespace d2c::text {

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};

/// Finds the leftmost, then longest, of a set of patterns.
class LongestMatcher {
 public:
  struct Match {
    std::size_t begin;
    std::size_t end;
    TokenId id;
  };

  /// Of equal patterns the first one added counts. An empty pattern matches nowhere.
  void add(std::string_view pattern, TokenId id);
  /// The first match that begins at or after `from`.
  [[nodiscard]] std::optional<Match> find(std::string_view text, std::size_t from) const;
  [[nodiscard]] bool empty() const { return nodes_.size() == 1; }

 private:
  struct Node {
    std::map<char, std::size_t> children;
    std::optional<TokenId> id;
  };
  std::vector<Node> nodes_ = std::vector<Node>(1);
};

/// The `added_tokens` of a tokenizer.json, and what tokenizer_config.json says of such tokens:
/// texts that become one token before anything else is split. Those with `normalized: false` are
/// searched in the raw text, the others, normalized themselves, in the normalized text.
class AddedTokens {
 public:
  AddedTokens(const std::optional<Field>& field, const BpeModel& model,
              const Normalizer& normalizer, const TokenizerConfig& config);

  /// Splits `text` at added tokens and normalizes what lies between.
  [[nodiscard]] std::vector<Piece> split(std::string_view text, const Normalizer& normalizer) const;

  [[nodiscard]] std::optional<TokenId> id_of(std::string_view token) const;
  [[nodiscard]] std::optional<std::string_view> token_of(TokenId id) const;
  [[nodiscard]] bool is_special(std::string_view token) const;
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Token {
    std::string content;
    bool special = false;
    bool normalized = false;
    bool single_word = false;
    bool strip_left = false;
    bool strip_right = false;
  };

  [[nodiscard]] static Token read_token(const Field& field);
  void assign_ids(const Field& field, const BpeModel& model);
  [[nodiscard]] TokenId assign_id(const Field& field, const std::string& content,
                                  const BpeModel& model);
  [[nodiscard]] TokenId next_id(const Field& field, const std::string& content, TokenId declared,
                                const BpeModel& model);
  void set_id(const std::string& content, TokenId id);
  void add(const Token& token, const Normalizer& normalizer);
  void add_configured(const TokenizerConfig& config, const BpeModel& model,
                      const Normalizer& normalizer);
  void append_split(const LongestMatcher& matcher, const Piece& piece,
                    std::vector<Piece>& pieces) const;

  std::unordered_map<std::string, TokenId, TextHash, std::equal_to<>> ids_;
  std::unordered_map<TokenId, Token> tokens_;
  std::unordered_set<std::string, TextHash, std::equal_to<>> special_;
  LongestMatcher raw_;
  LongestMatcher normalized_;
  TokenId largest_id_ = -1;
  std::vector<std::string> warnings_;
};

}  // namespace d2c::text
