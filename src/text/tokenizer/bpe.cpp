#include "tokenizer/bpe.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "unicode/utf8.hpp"

namespace d2c::text {
namespace {

std::uint64_t pack(std::uint32_t high, std::uint32_t low) {
  return std::uint64_t{high} << 32 | low;
}

std::string text_or_empty(const std::optional<Field>& field) {
  return field ? field->string() : std::string();
}

void refuse_dropout(const Field& field) {
  const auto dropout = field.find("dropout");
  if (dropout && dropout->value() != 0) {
    dropout->fail({"dropout is not supported", "it makes the tokens random", "set it to null"});
  }
}

void append_symbol(BpeModel::Scratch& scratch, TokenId id) {
  auto& symbols = scratch.symbols;
  const auto index = static_cast<std::int32_t>(symbols.size());
  if (index > 0) symbols.back().next = index;
  symbols.push_back({id, index - 1, -1});
}

}  // namespace

BpeModel::BpeModel(const Field& field)
    : continuing_prefix_(text_or_empty(field.find("continuing_subword_prefix"))),
      end_suffix_(text_or_empty(field.find("end_of_word_suffix"))),
      fuse_unknown_(field.boolean("fuse_unk", false)),
      ignore_merges_(field.boolean("ignore_merges", false)) {
  refuse_dropout(field);
  read_vocabulary(field.at("vocab"));
  read_merges(field.at("merges"));
  if (const auto unknown = field.find("unk_token")) unknown_token_ = unknown->string();
  if (field.boolean("byte_fallback", false)) {
    for (int byte = 0; byte < 256; ++byte) {
      byte_tokens_.push_back(vocabulary_.id_of(fmt::format("<0x{:02X}>", byte)));
    }
  }
}

void BpeModel::read_vocabulary(const Field& field) {
  if (!field.value().is_object()) field.fail({"must be an object of token: id", "", ""});
  std::vector<std::pair<std::string_view, TokenId>> tokens;
  tokens.reserve(field.value().size());
  for (const auto& [token, id] : field.value().get_ref<const json::Json::object_t&>()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > std::numeric_limits<TokenId>::max()) {
      field.at(token).fail({"the id must be an integer between 0 and 2147483647", "", ""});
    }
    tokens.emplace_back(token, id.get<TokenId>());
  }
  vocabulary_ = Vocabulary(std::move(tokens));
}

void BpeModel::read_merges(const Field& field) {
  if (!field.value().is_array()) field.fail({"must be an array", "", ""});
  merges_ = MergeTable(field.value().size());
  for (std::size_t index = 0; index < field.value().size(); ++index) {
    const auto& merge = field.value()[index];
    if (merge.is_string()) {
      const std::string_view text = merge.get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;  // the header of a merges.txt
      const std::size_t space = text.find(' ');
      if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
        field.item(index).fail({"must be two tokens with one space between", "", ""});
      }
      add_merge(field, index, text.substr(0, space), text.substr(space + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      add_merge(field, index, merge[0].get_ref<const std::string&>(),
                merge[1].get_ref<const std::string&>());
    } else {
      field.item(index).fail({R"(must be "LEFT RIGHT" or ["LEFT", "RIGHT"])", "", ""});
    }
  }
}

void BpeModel::add_merge(const Field& merges, std::size_t index, std::string_view left,
                         std::string_view right) {
  const auto require = [&](std::string_view token) {
    const auto id = vocabulary_.id_of(token);
    if (!id) {
      merges.item(index).fail({fmt::format("the token '{}' is not in the vocabulary", token),
                               "the merge has no id", "export the tokenizer again"});
    }
    return *id;
  };
  const TokenId left_id = require(left);
  const TokenId right_id = require(right);
  std::string merged(left);
  merged += right.substr(std::min(continuing_prefix_.size(), right.size()));
  // Of two equal pairs the later one counts, as in the reference.
  merges_.set(left_id, right_id, {static_cast<std::uint32_t>(index), require(merged)});
}

void BpeModel::encode(std::string_view word, Scratch& scratch, std::vector<TokenId>& ids) const {
  if (ignore_merges_) {
    if (const auto whole = vocabulary_.id_of(word)) {
      ids.push_back(*whole);
      return;
    }
  }
  split_into_symbols(word, scratch);
  merge(scratch);
  for (const auto& symbol : scratch.symbols) {
    if (symbol.id >= 0) ids.push_back(symbol.id);
  }
}

/// One symbol a character; what the vocabulary lacks becomes byte tokens or the unknown token.
void BpeModel::split_into_symbols(std::string_view word, Scratch& scratch) const {
  scratch.symbols.clear();
  std::string decorated;
  bool unknown_pending = false;
  for (std::size_t start = 0; start < word.size();) {
    const std::size_t length = character_length(word, start);
    std::string_view symbol = word.substr(start, length);
    const bool with_prefix = start > 0 && !continuing_prefix_.empty();
    const bool with_suffix = start + length == word.size() && !end_suffix_.empty();
    if (with_prefix || with_suffix) {
      decorated = with_prefix ? continuing_prefix_ : "";
      decorated += symbol;
      if (with_suffix) decorated += end_suffix_;
      symbol = decorated;
    }
    start += length;

    if (const auto id = vocabulary_.id_of(symbol)) {
      if (unknown_pending) append_symbol(scratch, unknown_id());
      unknown_pending = false;
      append_symbol(scratch, *id);
      // Byte tokens overtake a pending unknown token: the reference does so, ids must agree.
    } else if (!append_bytes(symbol, scratch) && unknown_token_) {
      if (unknown_pending && !fuse_unknown_) append_symbol(scratch, unknown_id());
      unknown_pending = true;
    }
  }
  if (unknown_pending) append_symbol(scratch, unknown_id());
}

/// Byte fallback: all bytes of the symbol as tokens, or none if one of them has no token.
bool BpeModel::append_bytes(std::string_view symbol, Scratch& scratch) const {
  if (byte_tokens_.empty()) return false;
  const auto token = [&](char byte) { return byte_tokens_[static_cast<unsigned char>(byte)]; };
  if (!std::all_of(symbol.begin(), symbol.end(), [&](char byte) { return token(byte); })) {
    return false;
  }
  for (const char byte : symbol) append_symbol(scratch, *token(byte));
  return true;
}

TokenId BpeModel::unknown_id() const {
  const auto id = vocabulary_.id_of(*unknown_token_);
  if (!id) {
    throw InputError({{}, "model.unk_token"},
                     {fmt::format("'{}' is not in the vocabulary", *unknown_token_),
                      "the text has a character that the vocabulary lacks",
                      "add the token to the vocabulary, or change the text"});
  }
  return *id;
}

void BpeModel::merge(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& queue = scratch.queue;
  const auto symbol = [&](std::int32_t index) -> Scratch::Symbol& {
    return symbols[static_cast<std::size_t>(index)];
  };
  const auto candidate = [&](std::int32_t left,
                             std::int32_t right) -> std::optional<std::uint64_t> {
    const Merge* found = merges_.find(symbol(left).id, symbol(right).id);
    if (found == nullptr) return std::nullopt;
    return pack(found->rank, static_cast<std::uint32_t>(left));
  };
  const auto push = [&](std::int32_t left, std::int32_t right) {
    if (left < 0 || right < 0) return;
    if (const auto key = candidate(left, right)) {
      queue.push_back(*key);
      std::push_heap(queue.begin(), queue.end(), std::greater<>());
    }
  };

  queue.clear();
  for (std::int32_t left = 0; left + 1 < static_cast<std::int32_t>(symbols.size()); ++left) {
    if (const auto key = candidate(left, left + 1)) queue.push_back(*key);
  }
  std::make_heap(queue.begin(), queue.end(), std::greater<>());

  while (!queue.empty()) {
    const std::uint64_t top = queue.front();
    std::pop_heap(queue.begin(), queue.end(), std::greater<>());
    queue.pop_back();

    const auto left = static_cast<std::int32_t>(top & 0xFFFFFFFFU);
    const std::int32_t right = symbol(left).next;
    if (symbol(left).id < 0 || right < 0) continue;
    const Merge* found = merges_.find(symbol(left).id, symbol(right).id);
    if (found == nullptr || found->rank != top >> 32) continue;  // the pair has changed since

    symbol(left).id = found->result;
    symbol(left).next = symbol(right).next;
    symbol(right).id = -1;
    if (symbol(left).next >= 0) symbol(symbol(left).next).previous = left;
    push(symbol(left).previous, left);
    push(left, symbol(left).next);
  }
}

}  // namespace d2c::text
