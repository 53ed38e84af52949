#pragma once

#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "command_line.hpp"

namespace d2c::cli {

/// Value of an option that takes one of several words. @throws UsageError that lists them
template <class T>
T choice(const po::variables_map& values, const std::string& option,
         const std::vector<std::pair<std::string, T>>& words) {
  const auto& given = values[option].as<std::string>();
  std::string known;
  for (const auto& [word, value] : words) {
    if (word == given) return value;
    known += (known.empty() ? "" : ", ") + word;
  }
  throw UsageError({fmt::format("--{} does not take '{}'", option, given),
                    "that is none of its values", "give one of: " + known});
}

}  // namespace d2c::cli
