#include "steps/replacement.hpp"

#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::text {

namespace {

constexpr std::size_t largest_piece = std::size_t{16} << 20;

}  // namespace

Replacement::Replacement(Regex pattern, std::string content)
    : pattern_(std::move(pattern)), content_(std::move(content)) {}

void Replacement::apply(std::string& text) const {
  const std::vector<Range> matches = pattern_.find_all(text);
  if (matches.empty() || text.empty()) return;
  if (content_.size() > largest_piece / matches.size()) {
    throw InputError({}, {fmt::format("the tokenizer replaces {} places by {} bytes each",
                                      matches.size(), content_.size()),
                          fmt::format("no more than {} bytes are made of a text", largest_piece),
                          "repair the normalizer of the tokenizer"});
  }
  std::string replaced;
  replaced.reserve(text.size());
  std::size_t end = 0;
  for (const Range& match : matches) {
    replaced.append(text, end, match.first - end).append(content_);
    end = match.second;
  }
  replaced.append(text, end);
  text = std::move(replaced);
}

Replacement read_replacement(const Field& field) {
  const Field pattern = field.at("pattern");
  const auto literal = pattern.find("String");
  if (literal && literal->string().empty()) literal->fail({"must not be empty", "", ""});
  return {read_pattern(pattern), field.at("content").string()};
}

}  // namespace d2c::text
