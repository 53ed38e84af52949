#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"
#include "d2c/results/writer.hpp"

#include "engine/distributed_oracle.hpp"
#include "input/job.hpp"

namespace d2c::job {

/// Name of a cluster's folder below output/merged.
[[nodiscard]] std::string cluster_folder(int cluster);

/// Merges each cluster once more by its recipe and writes it: a PEFT folder (by the ranks in turn)
/// and, where wanted, into the results file (by rank 0). Collective.
/// @param recipes  of the clusters that are not empty
/// @param folder   where PEFT folders are made
void write_merged(comm::Communicator& comm, const RunOptions& options, const Job& job,
                  DistributedOracle& oracle, const std::vector<cluster::Recipe>& recipes,
                  const results::RunResults& results, const std::filesystem::path& folder,
                  results::ResultsWriter* writer);

}  // namespace d2c::job
