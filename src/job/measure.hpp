#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/partition.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "input/job.hpp"
#include "output/checkpointing.hpp"

namespace d2c::job {

/// Weight of every task in the objective. [task]
[[nodiscard]] std::vector<double> task_weights(const eval::Manifest& manifest);
/// Few-shot examples of every task. [task]
[[nodiscard]] std::vector<std::int64_t> examples_per_task(const TaskStore& tasks, Split split);

/// Losses under the baselines by name, as measured. [task, folds of the split]
using MeasuredBaselines = std::map<std::string, std::vector<double>>;

/// The losses that every user compares with, on one split: base, own and one (all adapters merged;
/// NaN where the method cannot take so many, see MergePlan::members_bytes).
/// [task, folds of the split] Collective.
/// @param kept  those that an earlier, unfinished run of the job measured are not measured again
[[nodiscard]] MeasuredBaselines measure_baselines(DistributedOracle& oracle, Split split,
                                                  Checkpointing& kept);
/// Those of a random partition into k clusters. Collective.
[[nodiscard]] std::vector<double> measure_random(DistributedOracle& oracle, int k,
                                                 std::uint64_t seed, Split split);
/// Loss of every task under the merged adapter of its own cluster. [task, folds of the split]
[[nodiscard]] std::vector<double> losses_of(DistributedOracle& oracle,
                                            const cluster::Partition& partition, Split split);
/// The same under the recipe that it is a member of; every task is a member of one.
[[nodiscard]] std::vector<double> losses_of(DistributedOracle& oracle,
                                            const std::vector<cluster::Recipe>& recipes,
                                            Split split);

/// Baselines of few-shot examples: those that the search looks at, or those kept from it.
[[nodiscard]] results::Baselines chosen_part(const MeasuredBaselines& measured,
                                             const cluster::CachedOracle& cache);
[[nodiscard]] results::Baselines verify_part(const MeasuredBaselines& measured,
                                             const cluster::CachedOracle& cache);

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

/// Loss of every task under the merged adapter of every cluster; NaN for empty clusters and for
/// tasks without such examples. [task, cluster] Collective.
[[nodiscard]] cluster::LossMatrix held_out_matrix(DistributedOracle& oracle,
                                                  const cluster::Partition& partition);

/// What a partition is worth on examples that the search did not see.
[[nodiscard]] results::Unseen unseen(const RunOptions& options, const std::vector<double>& weights,
                                     const cluster::Partition& partition,
                                     const cluster::LossMatrix& loss, results::Baselines baselines);

}  // namespace d2c::job
