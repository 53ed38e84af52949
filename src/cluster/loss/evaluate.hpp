#pragma once

#include <span>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/partition.hpp"

namespace d2c::cluster {

/// Loss of every task under every cluster that is not empty.
[[nodiscard]] LossMatrix loss_matrix(CachedOracle& oracle, const Partition& partition);

/// Loss of every task under its own cluster.
[[nodiscard]] IdVector<TaskId, double> member_losses(CachedOracle& oracle,
                                                     const Partition& partition);

/// Loss of some tasks under the merge of each set, in one call.
/// @param tasks  [sets.size()]
/// @return       [set][task]
[[nodiscard]] std::vector<std::vector<double>> losses_under(CachedOracle& oracle,
                                                            std::span<const TaskSet> sets,
                                                            std::span<const TaskSet> tasks);

/// What is known already of the loss matrix; NaN elsewhere.
[[nodiscard]] LossMatrix known_matrix(const CachedOracle& oracle, const Partition& partition);

}  // namespace d2c::cluster
