#pragma once

#include <vector>

#include "d2c/cluster/refine.hpp"

#include "losses/method_losses.hpp"

namespace d2c::job {

/// Rounds in which tasks move between refined clusters, at most.
inline constexpr int most_refinement_rounds = 3;

/// What the options ask to be refined after the search; no task moves.
[[nodiscard]] cluster::RefineOptions refine_options(MethodLosses& losses);
[[nodiscard]] bool refines(const cluster::RefineOptions& options);

/// Refines the merge configurations of all clusters. The few-shot examples that the search looks at
/// are two folds, for cross-validation; those kept from it have a veto. Collective.
/// @return  the stages, the start first
[[nodiscard]] std::vector<cluster::RefineStage> refine_clusters(
    MethodLosses& losses, const std::vector<cluster::MergeConfig>& start,
    const cluster::RefineOptions& options);

}  // namespace d2c::job
