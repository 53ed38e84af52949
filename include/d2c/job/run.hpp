#pragma once

#include <functional>
#include <optional>
#include <string>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// What the surroundings of a job tell it.
struct RunContext {
  std::string command_line;                     ///< recorded in the results
  std::function<void(const std::string&)> log;  ///< progress lines; called on rank 0 only
};

/// The job: loads model, adapters and tasks, searches the clusters, measures baselines and held-out
/// losses, writes `output/results.h5` and `output/merged/cluster_NN`. Collective.
///
/// SIGUSR1 or SIGTERM (see StopSignals) ends the search at its next step and leaves a checkpoint in
/// `output`, from which the same call goes on.
/// @return  what was written, the same on every rank but for provenance; nothing if a signal came
/// @throws Error the same on every rank for bad input; anything else is one rank's failure
[[nodiscard]] std::optional<results::RunResults> run(comm::Communicator& comm,
                                                     const RunOptions& options,
                                                     const RunContext& context);

}  // namespace d2c::job
