#pragma once

#include <vector>

#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/partition.hpp"
#include "d2c/results/run_results.hpp"

/// What losses are worth beside those of the baselines.
namespace d2c::job {

/// Losses of tasks on the scale from the base model to their own adapters.
struct Comparison {
  std::vector<double> gain;    ///< [task] 1 = as good as the own adapter, 0 = base model
  std::vector<double> regret;  ///< [task] loss minus that of the own adapter, nats per token
};
[[nodiscard]] Comparison compare(const results::Baselines& baselines,
                                 const std::vector<double>& loss);

/// Weighted mean over the tasks that have a gain; NaN if there is none.
[[nodiscard]] double mean_gain(const std::vector<double>& weights,
                               const results::Baselines& baselines,
                               const std::vector<double>& loss);

/// Objective over the tasks whose loss is known; NaN if there is none.
/// @param loss  [task] NaN = not known
[[nodiscard]] double objective_of(cluster::ObjectiveKind kind, const std::vector<double>& weights,
                                  const results::Baselines& baselines,
                                  const std::vector<double>& loss);

/// What a partition is worth on examples that the search did not see.
/// @param loss  of every task under the merged adapter of every cluster
[[nodiscard]] results::Unseen unseen(cluster::ObjectiveKind kind,
                                     const std::vector<double>& weights,
                                     const cluster::Partition& partition,
                                     const cluster::LossMatrix& loss, results::Baselines baselines);

}  // namespace d2c::job
