#pragma once

#include <string>

namespace d2c {

/// Date and time now, ISO 8601: 2025-01-31T12:00:00Z.
[[nodiscard]] std::string utc_now();

}  // namespace d2c
