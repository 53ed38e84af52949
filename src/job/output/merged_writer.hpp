#pragma once

#include <string>
#include <vector>

#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "output/result_files.hpp"
#include "session/session.hpp"

namespace d2c::job {

/// Name of a cluster's folder below output/merged.
[[nodiscard]] std::string cluster_folder(int cluster);

/// Merges each cluster once more by its recipe and writes it: a PEFT folder (by the ranks in turn)
/// and, where wanted, into the results file (by rank 0). Collective.
/// @param recipes  of the clusters that are not empty
void write_merged(Session& session, DistributedOracle& oracle,
                  const std::vector<cluster::Recipe>& recipes, const results::RunResults& results,
                  ResultFiles& files);

}  // namespace d2c::job
