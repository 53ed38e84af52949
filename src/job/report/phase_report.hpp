#pragma once

#include "d2c/comm/communicator.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// Seconds per phase over all ranks, with the time of none of them as "other" and the whole as
/// "total". Collective.
[[nodiscard]] results::Timing phase_report(comm::Communicator& comm, const PhaseTimers& timers,
                                           double total_seconds);

}  // namespace d2c::job
