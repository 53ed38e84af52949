#pragma once

#include <vector>

#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/refine.hpp"
#include "d2c/job/run_options.hpp"

#include "engine/distributed_oracle.hpp"
#include "input/job.hpp"

namespace d2c::job {

/// What the options ask to be refined after the search.
[[nodiscard]] cluster::RefineOptions refine_options(const RunOptions& options,
                                                    const MergePlan& plan, const Job& job);
[[nodiscard]] bool refines(const cluster::RefineOptions& options);

/// How each cluster that is not empty is served by the plan, in ascending order of clusters.
[[nodiscard]] std::vector<cluster::Recipe> recipes_of(const cluster::Partition& partition,
                                                      const MergePlan& plan);

/// The clusters that recipes make, numbered by their lowest task.
[[nodiscard]] cluster::Partition partition_of(const std::vector<cluster::Recipe>& recipes,
                                              int n_tasks, int k);

/// Refines the recipes of all clusters. The few-shot examples that the search looks at are two
/// folds, for cross-validation; those kept from it have a veto. Collective.
/// @return  the stages, the start first
[[nodiscard]] std::vector<cluster::RefineStage> refine_clusters(
    DistributedOracle& oracle, const Job& job, const cluster::Objective& objective,
    const std::vector<cluster::Recipe>& start, const cluster::RefineOptions& options);

}  // namespace d2c::job
