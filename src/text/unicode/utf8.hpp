#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace d2c::text {

/// Bytes of the character that starts at `position` of valid UTF-8. @pre position < text.size()
[[nodiscard]] std::size_t character_length(std::string_view text, std::size_t position);

/// The character that starts at `position` of valid UTF-8; moves `position` behind it.
[[nodiscard]] char32_t next_character(std::string_view text, std::size_t& position);

/// Start of the last character of valid UTF-8. @pre not empty
[[nodiscard]] std::size_t last_character(std::string_view text);

void append_character(std::string& text, char32_t character);

/// `bytes` with every maximal part that is not UTF-8 replaced by U+FFFD
/// (Unicode standard, "U+FFFD Substitution of Maximal Subparts").
[[nodiscard]] std::string replace_invalid_utf8(std::string_view bytes);

/// Replaces every occurrence of `from`, left to right. An empty `from` occurs nowhere.
void replace_all(std::string& text, std::string_view from, std::string_view to);

}  // namespace d2c::text
