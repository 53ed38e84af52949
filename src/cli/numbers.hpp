#pragma once

#include <string>
#include <vector>

namespace d2c::cli {

/// Parses "5", "3,5,8" or "1..12" (parts may be mixed): ascending, without repeats.
/// @param option  for messages, as the user writes it
/// @throws UsageError if it is not such a list of numbers of at least 1
[[nodiscard]] std::vector<int> parse_numbers(const std::string& option, const std::string& text);

}  // namespace d2c::cli
