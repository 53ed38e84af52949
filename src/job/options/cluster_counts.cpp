#include "options/cluster_counts.hpp"

#include <charconv>
#include <set>

#include <fmt/format.h>

namespace d2c::job {
namespace {

constexpr int largest_k = 1'000'000;

/// 0 = no such number
int parse_count(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && value >= 1 && value <= largest_k ? value : 0;
}

}  // namespace

std::optional<std::vector<int>> parse_counts(std::string_view text) {
  std::set<int> counts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const std::size_t dots = part.find("..");
    const int first = parse_count(part.substr(0, dots));
    const int last = dots == part.npos ? first : parse_count(part.substr(dots + 2));
    if (first == 0 || last < first) return std::nullopt;
    for (int count = first; count <= last; ++count) counts.insert(count);
    begin = end + 1;
  }
  return std::vector<int>(counts.begin(), counts.end());
}

std::string counts_text(const std::vector<int>& counts) {
  std::string text;
  for (std::size_t i = 0; i < counts.size();) {
    std::size_t last = i;
    while (last + 1 < counts.size() && counts[last + 1] == counts[last] + 1) ++last;
    if (last < i + 2) last = i;
    text += fmt::format("{}{}", text.empty() ? "" : ",", counts[i]);
    if (last > i) text += fmt::format("..{}", counts[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace d2c::job
