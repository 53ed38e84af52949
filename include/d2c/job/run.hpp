#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/progress.hpp"
#include "d2c/core/signals.hpp"
#include "d2c/eval/engine_choice.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// What the surroundings of a job tell it.
struct RunContext {
  std::string command_line;                     ///< recorded in the results
  std::function<void(const std::string&)> log;  ///< lines that stay; called on rank 0 only
  Progress* progress = nullptr;                 ///< is told what goes on; on rank 0; null = nobody
  /// Whether the job shall end at the next good moment; asked on every rank. Empty = never.
  std::function<bool()> stop_requested = StopSignals::requested;
  /// What measures losses.
  std::function<std::unique_ptr<eval::LossEngine>(const model::Model&, const eval::EngineChoice&)>
      make_engine = eval::make_engine;
};

/// The job: loads model, adapters and tasks, searches the clusters, measures baselines and held-out
/// losses, writes `output/results.h5` and `output/merged/cluster_NN`. Collective.
///
/// A request to stop, such as SIGUSR1 or SIGTERM (see StopSignals), ends the job between two pieces
/// of its work and leaves a checkpoint in `output`, from which the same call goes on.
/// @return  what was written, the same on every rank but for provenance; nothing if it was stopped
/// @throws Error the same on every rank for bad input; anything else is one rank's failure
[[nodiscard]] std::optional<results::RunResults> run(comm::Communicator& comm,
                                                     const RunOptions& options,
                                                     const RunContext& context);

}  // namespace d2c::job
