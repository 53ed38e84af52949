#pragma once

#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "input/job.hpp"

namespace d2c::job {

/// Losses that a result recorded, for the first tasks of a job.
struct RecordedLosses {
  std::vector<double> base;                         ///< [old task] without an adapter
  std::vector<double> own;                          ///< [old task] under the task's own
  std::vector<cluster::CachedOracle::Entry> known;  ///< under clusters; in the folds of the job
};

/// Checks that the model, the examples and the adapters still give the losses that were recorded:
/// without an adapter and under its own for every old task, and a few of those under clusters,
/// which are measured for it. Collective.
/// @param baselines  of all tasks, measured now on the examples that the search looks at
/// @throws comm::AgreedError (InputError) naming the task whose loss differs by more than rounding
void check_recorded(comm::Communicator& comm, const RecordedLosses& recorded, const Job& job,
                    const results::Baselines& baselines, DistributedOracle& oracle);

}  // namespace d2c::job
