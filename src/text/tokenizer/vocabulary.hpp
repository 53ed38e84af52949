#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "d2c/text/tokenizer.hpp"

namespace d2c::text {

/// The tokens of a model and their ids. Made for hundreds of thousands of them: all texts lie in
/// one string, in the order of the ids, behind a hash table with open addressing.
class Vocabulary {
 public:
  Vocabulary() = default;
  /// @param tokens  each text once; of tokens with one id the first is what the id stands for
  explicit Vocabulary(std::vector<std::pair<std::string_view, TokenId>> tokens);

  [[nodiscard]] std::size_t size() const { return tokens_.size(); }
  [[nodiscard]] std::optional<TokenId> id_of(std::string_view text) const;
  [[nodiscard]] std::optional<std::string_view> token_of(TokenId id) const;

 private:
  struct Token {
    std::size_t begin;
    std::size_t length;
    TokenId id;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t token = 0;  ///< index + 1; 0 = free
  };

  [[nodiscard]] std::string_view text_of(const Token& token) const {
    return std::string_view(texts_).substr(token.begin, token.length);
  }

  std::string texts_;
  std::vector<Token> tokens_;                       ///< by id
  std::vector<Slot> slots_ = std::vector<Slot>(1);  ///< a power of two, at most half of them taken
};

}  // namespace d2c::text
