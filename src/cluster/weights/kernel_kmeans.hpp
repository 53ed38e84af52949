#pragma once

#include <algorithm>
#include <numeric>

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/similarity_matrix.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// Draws one with a probability in proportion to its weight; of weights that are all 0, the first.
template <class I>
[[nodiscard]] I drawn(const IdVector<I, double>& weights, CounterRng& rng) {
  double left = rng.uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (const I id : weights.ids()) {
    left -= weights[id];
    if (left < 0) return id;
  }
  // Rounding can let `left` outlast the sum.
  const IdRange<I> all = weights.ids();
  return *std::ranges::max_element(all, {}, [&](I id) { return weights[id]; });
}

/// k-means in the space whose inner products are given, best of several k-means++ starts.
/// No cluster is empty. Source: Dhillon, Guan, Kulis, "Kernel k-means", KDD 2004; Arthur,
/// Vassilvitskii, "k-means++", SODA 2007.
[[nodiscard]] Partition kernel_kmeans(const SimilarityMatrix& gram, int k, CounterRng& rng);

}  // namespace d2c::cluster
