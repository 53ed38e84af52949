#include "replacement.hpp"

#include <utility>

namespace d2c::tokenizer {

Replacement::Replacement(Regex pattern, std::string content)
    : pattern_(std::move(pattern)), content_(std::move(content)) {}

void Replacement::apply(std::string& text) const {
  const std::vector<Range> matches = pattern_.find_all(text);
  if (matches.empty() || text.empty()) return;
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
  return {read_pattern(field.at("pattern")), field.at("content").string()};
}

}  // namespace d2c::tokenizer
