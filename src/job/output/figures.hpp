#pragma once

#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/refine.hpp"
#include "d2c/cluster/sweep.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "input/job.hpp"
#include "measure.hpp"

/// The figures of a result: losses of partitions and recipes on all parts of the examples, in the
/// form in which they are written.
namespace d2c::job {

/// Everything that the losses of a job are measured with.
struct Bench {
  const RunOptions& options;
  const Job& job;
  DistributedOracle& oracle;
  cluster::CachedOracle& cache;
  const std::vector<double>& weights;  ///< of the tasks
  const MeasuredBaselines& few_shot;
  const MeasuredBaselines& held_out;  ///< empty where no task has a test split
};

/// Loss of every task under the merged adapter of every cluster, on each part of the examples.
struct Measured {
  cluster::Partition partition;
  cluster::LossMatrix chosen;
  cluster::LossMatrix kept;      ///< without tasks where no examples are kept from the search
  cluster::LossMatrix held_out;  ///< without tasks where no task has a test split
};

/// What a search found; few-shot losses are known. Collective.
[[nodiscard]] Measured measure_clusters(const Bench& bench, const cluster::SearchResult& search);
/// The same under other recipes, one per cluster that is not empty. Collective.
[[nodiscard]] Measured measure_clusters(const Bench& bench, const cluster::Partition& partition,
                                        const std::vector<cluster::Recipe>& recipes);

/// Fills result, verify and heldout.
void describe_result(const Bench& bench, const Measured& measured, results::RunResults& out);
/// The curve over K, on all parts of the examples. Collective.
[[nodiscard]] results::SweepTable describe_sweep(const Bench& bench, const cluster::Sweep& sweep);
/// The clusters after every step of their refinement, on all parts of the examples. Collective.
/// What racing saved and cost.
[[nodiscard]] results::Racing describe_racing(const Bench& bench);

[[nodiscard]] results::RefineTable describe_refinement(
    const Bench& bench, const std::vector<cluster::RefineStage>& stages);
[[nodiscard]] results::RecipeTable describe_recipes(const MergePlan& plan,
                                                    const cluster::Partition& partition,
                                                    const std::vector<cluster::Recipe>& recipes);

}  // namespace d2c::job
