#pragma once

#include <cstddef>
#include <string>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// The run for people: header, clusters, objective per iteration, gains, baselines, held-out split,
/// times. Plain text, also for 1000 tasks.
/// @param width  columns (code points) of a line at most; tables of numbers alone may have more
[[nodiscard]] std::string print_summary(const RunResults& results, std::size_t width = 100);

}  // namespace d2c::results
