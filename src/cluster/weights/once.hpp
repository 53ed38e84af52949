#pragma once

#include <functional>

#include "d2c/cluster/search.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// A partition into k clusters that needs no loss, found as Problem::once says.
/// @param find  draws from the generator that it gets, which is then `rng` on all ranks
[[nodiscard]] Partition found_once(const Problem& problem, int k, CounterRng& rng,
                                   const std::function<Partition(CounterRng&)>& find);
[[nodiscard]] Partition found_once(const Problem& problem, int k,
                                   const std::function<Partition()>& find);

}  // namespace d2c::cluster
