#pragma once

#include <string_view>
#include <vector>

#include "d2c/merge/merge.hpp"

/// Which of the parameters of merge::Options a method reads.
namespace d2c::merge {

/// The parameters that a method reads, as the command line calls them.
[[nodiscard]] std::vector<std::string_view> parameters_of(const Method& method);

/// The options with the defaults of those that the method does not read; the seed stays.
[[nodiscard]] Options read_by(const Method& method, Options options);

}  // namespace d2c::merge
