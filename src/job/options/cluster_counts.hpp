#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::job {

/// Parses "5", "3,5,8" or "1..12" (parts may be mixed): ascending, without repeats.
/// @return nothing if it is not such a list of numbers from 1 to 1,000,000
[[nodiscard]] std::optional<std::vector<int>> parse_counts(std::string_view text);

/// The inverse; three or more in a row become a range.
[[nodiscard]] std::string counts_text(const std::vector<int>& counts);

}  // namespace d2c::job
