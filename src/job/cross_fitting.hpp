#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "d2c/cluster/cross_fit.hpp"
#include "d2c/results/run_results.hpp"

#include "output/checkpointing.hpp"
#include "output/figures.hpp"

namespace d2c::job {

/// Repeats a search without each part of the few-shot examples. Collective.
/// @param problem  of the search that saw them all
/// @param search   the results, in the same number for every part
/// @return         nothing if a signal or the time limit came
[[nodiscard]] std::optional<cluster::CrossFit> cross_fit_search(
    DistributedOracle& oracle, const cluster::Problem& problem, const RunOptions& options,
    const MeasuredBaselines& few_shot, const std::vector<double>& weights, const Job& job,
    Checkpointing& checkpointing,
    const std::function<std::vector<cluster::SearchResult>(const cluster::Problem&)>& search,
    std::vector<cluster::CachedOracle::Entry>& known);

/// What one of the results is worth on examples that its search did not see.
[[nodiscard]] results::CrossFitTable describe_cross_fit(const Bench& bench,
                                                        const cluster::CrossFit& fit,
                                                        std::size_t result,
                                                        const cluster::Partition& found);

}  // namespace d2c::job
