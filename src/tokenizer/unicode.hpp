#pragma once

#include <string>

namespace d2c::tokenizer {

/// Property White_Space.
[[nodiscard]] bool is_white_space(char32_t character);
/// A character of \w: Alphabetic, mark, decimal digit, connector punctuation, join control
/// (Unicode technical standard 18, annex C).
[[nodiscard]] bool is_word(char32_t character);

}  // namespace d2c::tokenizer
