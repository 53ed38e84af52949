#pragma once

#include <optional>
#include <string>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/partition.hpp"
#include "d2c/job/run.hpp"

#include "recorded_losses.hpp"

namespace d2c::job {

/// Clusters that some tasks have already.
struct Placement {
  cluster::Assignment clusters;  ///< of every task; cluster::unplaced = none yet
  RecordedLosses recorded;       ///< of the tasks that have one
  std::string manifest;          ///< of all tasks, to be written beside the result; on rank 0
  bool compare_full = false;     ///< adds the baseline `full`: the search without these clusters
};

/// run(), or with a placement: the tasks that have no cluster are added to those that exist.
[[nodiscard]] std::optional<results::RunResults> run_job(comm::Communicator& comm,
                                                         const RunOptions& given,
                                                         const RunContext& context,
                                                         const Placement* placement);

}  // namespace d2c::job
