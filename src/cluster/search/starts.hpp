#pragma once

#include "d2c/cluster/search.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// Every task in a cluster drawn uniformly. With EmptyClusters::refill, a cluster that came out
/// empty gets a random task of a cluster of two or more. @pre 1 <= k <= n_tasks
[[nodiscard]] Partition random_partition(int n_tasks, int k, EmptyClusters empty, CounterRng& rng);

}  // namespace d2c::cluster
