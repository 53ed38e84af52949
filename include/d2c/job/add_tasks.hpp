#pragma once

#include <filesystem>
#include <optional>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// New tasks for an existing result.
struct AddOptions {
  std::filesystem::path result;    ///< results file, or the folder that holds results.h5
  std::filesystem::path tasks;     ///< manifest of the new tasks, with the same model
  std::filesystem::path manifest;  ///< of the tasks of the result; empty = as recorded there
  std::filesystem::path output;    ///< folder of the new result, another one
  bool overwrite = false;
  bool compare_full = false;  ///< also search all clusters anew, and report the difference
  int threads = 1;            ///< per rank
  int ranks_per_node = 0;     ///< see RunOptions
};

/// Adds tasks to the clusters of a result: each joins the cluster that serves it best, then the new
/// tasks move while the objective of all falls (cluster::place_tasks). The number of clusters and
/// all options of the result stay; losses that it holds are not measured again. Writes a whole
/// result, and the manifest of all tasks, into `output`; the old result is left as it is.
/// Collective.
/// @return  as run()
/// @throws Error the same on every rank: besides bad input, if the manifest or what it names has
/// moved, or does not fit the result
[[nodiscard]] std::optional<results::RunResults> add_tasks(comm::Communicator& comm,
                                                           const AddOptions& options,
                                                           const RunContext& context);

}  // namespace d2c::job
