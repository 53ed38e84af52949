#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace d2c::cli {

/// The name that was probably meant: the one that takes the fewest letters to insert, drop, replace
/// or swap, if these are few; the first of equals.
[[nodiscard]] std::optional<std::string> nearest(std::string_view given,
                                                 std::span<const std::string> names);

}  // namespace d2c::cli
