#pragma once

#include <string>
#include <string_view>

namespace d2c::text {

/// The printable character that stands for each byte in byte-level vocabularies.
/// Source: Radford et al., GPT-2, encoder.py, bytes_to_unicode.
[[nodiscard]] std::string to_byte_level(std::string_view bytes);

/// The bytes that a byte-level token stands for; a token with any other character is kept as is.
[[nodiscard]] std::string from_byte_level(std::string_view token);

}  // namespace d2c::text
