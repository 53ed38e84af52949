#pragma once

#include <random>
#include <string>
#include <string_view>

namespace d2c::fuzz {

/// The content with one to three changes. Of a text, its numbers, strings and brackets change: to
/// values that are rarely thought of, to others of the same text, or they are left out or repeated.
/// Of other content, whole numbers of 1 to 8 bytes do.
[[nodiscard]] std::string mutate(std::string_view content, bool is_text, std::mt19937_64& random);

}  // namespace d2c::fuzz
