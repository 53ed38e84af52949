#pragma once

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/similarity_matrix.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// k-means in the space whose inner products are given, best of several k-means++ starts.
/// No cluster is empty. Source: Dhillon, Guan, Kulis, "Kernel k-means", KDD 2004; Arthur,
/// Vassilvitskii, "k-means++", SODA 2007.
[[nodiscard]] Partition kernel_kmeans(const SimilarityMatrix& gram, int k, CounterRng& rng,
                                      int starts = 10);

}  // namespace d2c::cluster
