#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "d2c/cluster/cross_fit.hpp"
#include "d2c/results/run_results.hpp"

#include "losses/method_losses.hpp"

namespace d2c::job {

/// Repeats a search without each part of the few-shot examples. Collective.
/// @param search  the results, in the same number for every part
/// @return        nothing if the time limit came
[[nodiscard]] std::optional<cluster::CrossFit> cross_fit_search(
    Session& session, MethodLosses& losses,
    const std::function<std::vector<cluster::SearchResult>(const cluster::Problem&)>& search);

/// What one of the results is worth on examples that its search did not see.
[[nodiscard]] results::CrossFitTable describe_cross_fit(const MethodLosses& losses,
                                                        const cluster::CrossFit& fit,
                                                        std::size_t result,
                                                        const cluster::Partition& found);

}  // namespace d2c::job
