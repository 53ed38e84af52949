#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Texts that others wrote, as they may be shown: names and values from files or from the command
/// line must not move the cursor, forge a line or turn the reading direction.
namespace d2c {

/// Bytes that one part of a message takes at most.
inline constexpr std::size_t longest_shown = 600;

/// The text on one line: control characters, line breaks, marks of reading direction, invisible
/// characters and bytes that are not UTF-8 are written as \n, \x1b or \u202e, and the middle of
/// what is longer than `most` bytes is left out. A readable text stays as it is.
[[nodiscard]] std::string readable(std::string_view text, std::size_t most = longest_shown);

/// Whether the text is valid UTF-8 without characters that readable() writes otherwise.
[[nodiscard]] bool is_readable(std::string_view text);

}  // namespace d2c
