#include "d2c/core/utc.hpp"

#include <ctime>

#include <fmt/chrono.h>

namespace d2c {

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace d2c
