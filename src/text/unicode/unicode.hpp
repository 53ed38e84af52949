#pragma once

#include <string>
#include <string_view>

namespace d2c::text {

/// Property White_Space.
[[nodiscard]] bool is_white_space(char32_t character);
/// General category N.
[[nodiscard]] bool is_numeric(char32_t character);
/// General category P, or punctuation of ASCII (which has symbols too).
[[nodiscard]] bool is_punctuation(char32_t character);
/// A character of \w: Alphabetic, mark, decimal digit, connector punctuation, join control
/// (Unicode technical standard 18, annex C).
[[nodiscard]] bool is_word(char32_t character);

/// Length of valid UTF-8 without the white space at its end.
[[nodiscard]] std::size_t length_without_trailing_space(std::string_view text);
/// Length of the white space at the start of valid UTF-8.
[[nodiscard]] std::size_t leading_space(std::string_view text);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Unicode normalization of valid UTF-8 (Unicode standard annex 15).
[[nodiscard]] std::string normalize(std::string_view text, NormalForm form);

/// Every character by itself in lower case (without the final sigma and other context rules).
[[nodiscard]] std::string lowercase(std::string_view text);

}  // namespace d2c::text
