#pragma once

#include <string_view>
#include <vector>

#include "tokenizer/field.hpp"
#include "tokenizer/piece.hpp"

namespace d2c::text {

/// What becomes of the matches of a delimiter, as tokenizer.json calls it.
enum class DelimiterBehavior {
  removed,
  isolated,
  merged_with_previous,
  merged_with_next,
  contiguous
};

[[nodiscard]] DelimiterBehavior read_behavior(const Field& field);

/// A part of a text that is a delimiter or lies between delimiters.
struct Part {
  Range range;
  bool is_delimiter;
};

/// Covers a text of `length` bytes with the matches and what lies between them.
/// @param invert  the matches are what lies between delimiters
[[nodiscard]] std::vector<Part> cover(std::size_t length, const std::vector<Range>& matches,
                                      bool invert);

/// The ranges that the text is split into; some may be empty.
[[nodiscard]] std::vector<Range> apply_behavior(const std::vector<Part>& parts,
                                                DelimiterBehavior behavior);

}  // namespace d2c::text
