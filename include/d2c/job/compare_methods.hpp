#pragma once

#include <optional>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/comparison.hpp"

namespace d2c::job {

/// What is compared with what.
struct CompareOptions {
  RunOptions job;                     ///< `ks` or `k`: numbers of clusters; `seed`: the first
  std::vector<std::string> searches;  ///< names
  std::vector<std::string> methods;   ///< of merging
  /// Those of `searches` whose clusters are also refined, as the job asks, in a row of their own:
  /// `auto refined`.
  std::vector<std::string> refined = {};
  int n_seeds = 1;
};

/// @throws UsageError naming the option
void validate(const CompareOptions& options);

/// Every search with every merge method, number of clusters and seed, beside the baselines base,
/// own and one; over one cache of losses per merge method. Writes `compare.h5` and `compare.csv`
/// into the output folder. Collective.
///
/// A signal to stop leaves a checkpoint per merge method, from which the same call goes on.
/// @return  what was written; nothing if a signal came
/// @throws as run()
[[nodiscard]] std::optional<results::Comparison> compare_methods(comm::Communicator& comm,
                                                                 const CompareOptions& options,
                                                                 const RunContext& context);

}  // namespace d2c::job
