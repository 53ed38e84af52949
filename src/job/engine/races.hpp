#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "d2c/cluster/oracle.hpp"

#include "engine/race_run.hpp"
#include "engine/scheduler.hpp"

namespace d2c::job {

/// What races found out on this rank; entries of other ranks are 0.
struct RaceResults {
  RaceResults(std::span<const cluster::Race> races, std::size_t n_folds);

  std::vector<std::size_t> begin;  ///< [races + 1] first contestant of each
  std::vector<double> losses;      ///< [contestants, folds]
  std::vector<RaceWork> work;      ///< [contestants]
};

/// Measures races, each wholly on one rank, and gathers what they found out. Collective.
/// @param prepare  makes the adapter of a set ready. Any thread
[[nodiscard]] RaceResults measure_races(comm::Communicator& comm, Scheduler& scheduler,
                                        const RaceInputs& inputs,
                                        std::span<const cluster::Race> races,
                                        const PrepareAdapter& prepare, PhaseTimers& timers);

}  // namespace d2c::job
