#include "tokenizer/added_tokens.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "unicode/unicode.hpp"
#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

bool ends_with_word(std::string_view text) {
  if (text.empty()) return false;
  std::size_t at = last_character(text);
  return is_word(next_character(text, at));
}

bool starts_with_word(std::string_view text) {
  std::size_t at = 0;
  return !text.empty() && is_word(next_character(text, at));
}

[[noreturn]] void refuse_shared(const Field& field, std::string_view content,
                                std::string_view other) {
  field.fail({fmt::format("the id {} belongs to the tokens '{}' and '{}'", field.integer(), content,
                          other),
              "its meaning is ambiguous", "give each token its own id"});
}

/// The special tokens that transformers knows by name, with the key that names each.
std::map<std::string, std::string> named_tokens(const TokenizerConfig& config) {
  std::map<std::string, std::string> names;
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    if (const auto content = config.special_token(name)) names.emplace(*content, name);
  }
  const std::string list = "additional_special_tokens";
  if (!config.special_tokens.contains(list)) return names;
  for (const auto& content : config.special_tokens.at(list)) {
    names.emplace(content.get<std::string>(), list);
  }
  return names;
}

/// The added_tokens_decoder in the order of its ids.
std::map<TokenId, Field> tokens_by_id(const TokenizerConfig& config) {
  std::map<TokenId, Field> tokens;
  const Field root(config.added_tokens, config.file, "added_tokens_decoder");
  for (const auto& [key, unused] : config.added_tokens.items()) {
    const Field item = root.at(key);
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      item.fail({"is not named by a token id", "", ""});
    }
    tokens.emplace(id, item);
  }
  return tokens;
}

}  // namespace

void LongestMatcher::add(std::string_view pattern, TokenId id) {
  if (pattern.empty()) return;
  std::size_t node = 0;
  for (const char byte : pattern) {
    const auto [child, added] = nodes_[node].children.emplace(byte, nodes_.size());
    node = child->second;
    if (added) nodes_.emplace_back();
  }
  if (!nodes_[node].id) nodes_[node].id = id;
}

std::optional<LongestMatcher::Match> LongestMatcher::find(std::string_view text,
                                                          std::size_t from) const {
  if (empty()) return std::nullopt;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    std::optional<Match> longest;
    std::size_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto child = nodes_[node].children.find(text[at]);
      if (child == nodes_[node].children.end()) break;
      node = child->second;
      if (nodes_[node].id) longest = Match{begin, at + 1, *nodes_[node].id};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

AddedTokens::AddedTokens(const std::optional<Field>& field, const BpeModel& model,
                         const Normalizer& normalizer, const TokenizerConfig& config) {
  if (field) {
    assign_ids(*field, model);
    // Special tokens are searched before the others; it matters where two normalize to one text.
    for (const bool special : {true, false}) {
      for (const Field& item : field->items()) {
        const Token token = read_token(item);
        if (!token.content.empty() && token.special == special) add(token, normalizer);
      }
    }
  }
  add_configured(config, model, normalizer);
}

AddedTokens::Token AddedTokens::read_token(const Field& field) {
  const bool special = field.boolean("special", false);
  return {field.at("content").string(),          special,
          field.boolean("normalized", !special), field.boolean("single_word", false),
          field.boolean("lstrip", false),        field.boolean("rstrip", false)};
}

/// Its id must be set.
void AddedTokens::add(const Token& token, const Normalizer& normalizer) {
  const TokenId id = ids_.at(token.content);
  tokens_.insert_or_assign(id, token);
  if (token.special) special_.insert(token.content);
  if (token.normalized) {
    std::string pattern = token.content;
    normalizer(pattern);
    normalized_.add(pattern, id);
  } else {
    raw_.add(token.content, id);
  }
}

/// Adds those tokens of tokenizer_config.json that tokenizer.json lacks or has otherwise.
/// Source: PreTrainedTokenizerFast.__init__ of transformers 4, AddedVocabulary::add_tokens of
/// Hugging Face tokenizers.
void AddedTokens::add_configured(const TokenizerConfig& config, const BpeModel& model,
                                 const Normalizer& normalizer) {
  const std::map<std::string, std::string> named = named_tokens(config);
  for (const auto& [declared, item] : tokens_by_id(config)) {
    Token token = read_token(item);
    if (token.content.empty()) continue;
    token.special = token.special || named.contains(token.content);
    auto id = id_of(token.content);
    if (!id) id = model.vocabulary().id_of(token.content);
    if (!id) id = next_id(item, token.content, declared, model);
    set_id(token.content, *id);
    if (special_.contains(token.content)) {
      tokens_[*id] = token;  // it stays special, and is searched for as before
    } else {
      add(token, normalizer);
    }
  }
  for (const auto& [content, name] : named) {
    if (content.empty() || id_of(content)) continue;
    if (const auto id = model.vocabulary().id_of(content)) {
      set_id(content, *id);
      add({.content = content, .special = true}, normalizer);
    } else {
      warnings_.emplace_back(
          InputError({config.file, name},
                     {fmt::format("the token '{}' is not in tokenizer.json", content),
                      "transformers makes it a token; here it is like any other text", ""})
              .what());
    }
  }
}

void AddedTokens::assign_ids(const Field& field, const BpeModel& model) {
  std::unordered_map<std::int64_t, std::string> declared;
  for (const Field& item : field.items()) {
    const std::string& content = item.at("content").string();
    if (content.empty()) continue;
    const Field id = item.at("id");
    const auto [earlier, is_new] = declared.emplace(id.integer(), content);
    if (!is_new && earlier->second != content) refuse_shared(id, content, earlier->second);
    const TokenId assigned = assign_id(id, content, model);
    set_id(content, assigned);
  }
}

void AddedTokens::set_id(const std::string& content, TokenId id) {
  ids_.insert_or_assign(content, id);
  largest_id_ = std::max(largest_id_, id);
}

/// Hugging Face tokenizers heeds the declared ids of no token that the model lacks: such tokens are
/// numbered on, behind the vocabulary. Usually that gives the declared ids.
TokenId AddedTokens::assign_id(const Field& field, const std::string& content,
                               const BpeModel& model) {
  const TokenId declared = field.token_id();
  if (const auto known = model.vocabulary().id_of(content)) {
    if (*known != declared) {
      field.fail({fmt::format("the token '{}' has the id {} here and {} in model.vocab", content,
                              declared, *known),
                  "its meaning is ambiguous", "make the ids equal"});
    }
    return declared;
  }
  if (const auto other = model.vocabulary().token_of(declared)) {
    refuse_shared(field, content, *other);
  }
  if (const auto again = id_of(content)) return *again;
  return next_id(field, content, declared, model);
}

TokenId AddedTokens::next_id(const Field& field, const std::string& content, TokenId declared,
                             const BpeModel& model) {
  if (largest_id_ == std::numeric_limits<TokenId>::max()) {
    field.fail({"follows on the largest id that there is", "it would have none", ""});
  }
  const auto next = std::max(static_cast<TokenId>(model.vocabulary().size()), largest_id_ + 1);
  if (next == declared) return declared;
  const std::string what =
      fmt::format("the token '{}' has the id {}, which does not follow on the ids before it",
                  content, declared);
  if (const auto other = model.vocabulary().token_of(next)) {
    field.fail({fmt::format("{}: Hugging Face tokenizers would give it {}, which is '{}'", what,
                            next, *other),
                "its meaning is ambiguous", "number the tokens without holes"});
  }
  warnings_.push_back(
      field.describe({what, fmt::format("as Hugging Face tokenizers does, {} is used", next), ""}));
  return next;
}

std::vector<Piece> AddedTokens::split(std::string_view text, const Normalizer& normalizer) const {
  std::vector<Piece> raw;
  append_split(raw_, {std::string(text), true, {}}, raw);
  std::vector<Piece> pieces;
  for (Piece& piece : raw) {
    if (piece.id) {
      pieces.push_back(std::move(piece));
      continue;
    }
    normalizer(piece.text);
    append_split(normalized_, piece, pieces);
  }
  return pieces;
}

void AddedTokens::append_split(const LongestMatcher& matcher, const Piece& piece,
                               std::vector<Piece>& pieces) const {
  const std::string_view text = piece.text;
  const auto append = [&](std::size_t begin, std::size_t end, std::optional<TokenId> id) {
    if (begin >= end) return;
    pieces.push_back(
        {std::string(text.substr(begin, end - begin)), piece.at_start && begin == 0, id});
  };
  std::size_t done = 0;
  std::size_t from = 0;
  while (const auto match = matcher.find(text, from)) {
    from = match->end;
    const Token& token = tokens_.at(match->id);
    std::size_t begin = match->begin;
    std::size_t end = match->end;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.strip_left) {
      begin = std::max(length_without_trailing_space(text.substr(0, begin)), done);
    }
    if (token.strip_right) end += leading_space(text.substr(end));
    append(done, begin, {});
    append(begin, end, match->id);
    done = end;
  }
  append(done, text.size(), {});
}

std::optional<TokenId> AddedTokens::id_of(std::string_view token) const {
  const auto entry = ids_.find(token);
  if (entry == ids_.end()) return std::nullopt;
  return entry->second;
}

std::optional<std::string_view> AddedTokens::token_of(TokenId id) const {
  const auto entry = tokens_.find(id);
  if (entry == tokens_.end()) return std::nullopt;
  return entry->second.content;
}

bool AddedTokens::is_special(std::string_view token) const { return special_.contains(token); }

}  // namespace d2c::text
