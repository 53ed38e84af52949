#include "steps/split.hpp"

#include <algorithm>

namespace d2c::text {
namespace {

std::vector<Range> without_delimiters(const std::vector<Part>& parts) {
  std::vector<Range> ranges;
  for (const Part& part : parts) {
    if (!part.is_delimiter) ranges.push_back(part.range);
  }
  return ranges;
}

/// One range a part, except that a part joins the range before it where `joins(part, previous)`.
template <class Joins>
std::vector<Range> join_parts(const std::vector<Part>& parts, const Joins& joins) {
  std::vector<Range> ranges;
  bool previous = false;  // whether the part before was a delimiter
  for (const Part& part : parts) {
    if (!ranges.empty() && joins(part.is_delimiter, previous)) {
      Range& last = ranges.back();
      last = {std::min(last.first, part.range.first), std::max(last.second, part.range.second)};
    } else {
      ranges.push_back(part.range);
    }
    previous = part.is_delimiter;
  }
  return ranges;
}

bool never(bool /*is_delimiter*/, bool /*previous*/) { return false; }
bool first_of_a_run(bool is_delimiter, bool previous) { return is_delimiter && !previous; }
bool alike(bool is_delimiter, bool previous) { return is_delimiter == previous; }

}  // namespace

DelimiterBehavior read_behavior(const Field& field) {
  static constexpr auto names = enum_names<DelimiterBehavior>(
      {{DelimiterBehavior::removed, "Removed"},
       {DelimiterBehavior::isolated, "Isolated"},
       {DelimiterBehavior::merged_with_previous, "MergedWithPrevious"},
       {DelimiterBehavior::merged_with_next, "MergedWithNext"},
       {DelimiterBehavior::contiguous, "Contiguous"}});
  return value_of(field, names, "behavior");
}

std::vector<Part> cover(std::size_t length, const std::vector<Range>& matches, bool invert) {
  std::vector<Part> parts;
  parts.reserve(matches.size() + 1);
  std::size_t end = 0;
  for (const Range& match : matches) {
    if (end != match.first) parts.push_back({{end, match.first}, invert});
    parts.push_back({match, !invert});
    end = match.second;
  }
  if (end != length) parts.push_back({{end, length}, invert});
  return parts;
}

std::vector<Range> apply_behavior(const std::vector<Part>& parts, DelimiterBehavior behavior) {
  switch (behavior) {
    case DelimiterBehavior::removed:
      return without_delimiters(parts);
    case DelimiterBehavior::isolated:
      return join_parts(parts, never);
    case DelimiterBehavior::merged_with_previous:
      return join_parts(parts, first_of_a_run);
    case DelimiterBehavior::contiguous:
      return join_parts(parts, alike);
    case DelimiterBehavior::merged_with_next:
      break;
  }
  // As with the previous one, seen from the end of the text.
  auto ranges = join_parts(std::vector<Part>(parts.rbegin(), parts.rend()), first_of_a_run);
  std::reverse(ranges.begin(), ranges.end());
  return ranges;
}

}  // namespace d2c::text
