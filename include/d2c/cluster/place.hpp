#pragma once

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// Marks a task that has no cluster yet.
inline constexpr ClusterId unplaced = ClusterId::none();

/// Adds tasks to clusters that exist: every new task joins the cluster that serves it best, then
/// new tasks move while the measured objective of all tasks falls. The other tasks stay, unless the
/// constraints force them to move.
///
/// Needs about (new tasks) * k + n_tasks entries, and those of `options.matrix`.
///
/// @param clusters  cluster of every task, or `unplaced`; at least one task has a cluster
/// @throws UsageError if the clusters or the options do not fit the tasks
[[nodiscard]] SearchResult place_tasks(const Problem& problem, const SearchOptions& options,
                                       const Assignment& clusters);

}  // namespace d2c::cluster
