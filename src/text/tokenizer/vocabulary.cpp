#include "tokenizer/vocabulary.hpp"

#include <algorithm>
#include <bit>
#include <functional>

namespace d2c::text {

Vocabulary::Vocabulary(std::vector<std::pair<std::string_view, TokenId>> tokens)
    : slots_(std::bit_ceil(2 * tokens.size() + 1)) {
  std::ranges::stable_sort(tokens, {}, [](const auto& token) { return token.second; });
  std::size_t bytes = 0;
  for (const auto& [text, id] : tokens) bytes += text.size();
  texts_.reserve(bytes);
  tokens_.reserve(tokens.size());
  for (const auto& [text, id] : tokens) {
    tokens_.push_back({texts_.size(), text.size(), id});
    texts_ += text;
    const std::size_t hash = std::hash<std::string_view>{}(text);
    std::size_t at = hash % slots_.size();
    while (slots_[at].token != 0) at = (at + 1) % slots_.size();
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32),
                  static_cast<std::uint32_t>(tokens_.size())};
  }
}

std::optional<TokenId> Vocabulary::id_of(std::string_view text) const {
  const std::size_t hash = std::hash<std::string_view>{}(text);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = hash & mask; slots_[at].token != 0; at = (at + 1) & mask) {
    if (slots_[at].hash != static_cast<std::uint32_t>(hash >> 32)) continue;
    const Token& token = tokens_[slots_[at].token - 1];
    if (text_of(token) == text) return token.id;
  }
  return std::nullopt;
}

std::optional<std::string_view> Vocabulary::token_of(TokenId id) const {
  const auto token = std::ranges::lower_bound(tokens_, id, {}, &Token::id);
  if (token == tokens_.end() || token->id != id) return std::nullopt;
  return text_of(*token);
}

}  // namespace d2c::text
