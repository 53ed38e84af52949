#pragma once

#include <string>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// The run for people: header, clusters, objective per iteration, gains, baselines, held-out split,
/// times. Plain text in lines of at most 100 columns (counted in code points), also for 1000 tasks.
[[nodiscard]] std::string print_summary(const RunResults& results);

}  // namespace d2c::results
