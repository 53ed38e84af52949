#pragma once

#include <string>
#include <vector>

#include "d2c/driver/distributed_oracle.hpp"
#include "d2c/driver/run_options.hpp"
#include "d2c/results/run_results.hpp"
#include "d2c/results/writer.hpp"

#include "job.hpp"

namespace d2c::driver {

/// Name of a cluster's folder below output/merged.
[[nodiscard]] std::string cluster_folder(int cluster);

/// The folders of an output while they are being made: everything goes to `merged.partial`, and
/// takes the place of `merged` only when it is complete.
class MergedFolders {
 public:
  MergedFolders(std::filesystem::path output, bool overwrite);
  /// Removes what was not published.
  ~MergedFolders();
  MergedFolders(const MergedFolders&) = delete;
  MergedFolders& operator=(const MergedFolders&) = delete;
  /// @throws InputError if there are results that must not be overwritten, or no folder can be made
  void prepare();
  [[nodiscard]] std::filesystem::path partial() const { return output_ / "merged.partial"; }
  void publish() const;

 private:
  std::filesystem::path output_;
  bool overwrite_;
  bool prepared_ = false;
};

/// Merges each cluster once more by its recipe and writes it: a PEFT folder (by the ranks in turn)
/// and, where wanted, into the results file (by rank 0). Collective.
/// @param recipes  of the clusters that are not empty
void write_merged(comm::Communicator& comm, const RunOptions& options, const Job& job,
                  DistributedOracle& oracle, const std::vector<cluster::Recipe>& recipes,
                  const results::RunResults& results, const MergedFolders& folders,
                  results::ResultsWriter* writer);

}  // namespace d2c::driver
