#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "output/result_files.hpp"
#include "session/session.hpp"

namespace d2c::job {

/// Name of a cluster's folder below output/merged.
[[nodiscard]] std::string cluster_folder(ClusterId cluster);

/// A merged adapter that was written.
struct WrittenAdapter {
  ClusterId cluster;
  std::string folder;  ///< below the output; empty = only in the results file
  Index rank = 0;      ///< of the module that has most
  std::map<std::string, std::string> sha256;  ///< of the files in the folder that PEFT reads
};

/// Merges each cluster once more as configured and writes it: a PEFT folder (by the ranks in turn)
/// and, where wanted, into the results file (by rank 0). Collective.
/// @param configs  of the clusters that are not empty
/// @return         in their order, the same on every rank
[[nodiscard]] std::vector<WrittenAdapter> write_merged(Session& session, DistributedOracle& oracle,
                                                       const std::vector<MergeConfig>& configs,
                                                       const results::RunResults& results,
                                                       ResultFiles& files);

}  // namespace d2c::job
