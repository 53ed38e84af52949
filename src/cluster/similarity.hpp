#pragma once

#include <span>
#include <vector>

#include "d2c/cluster/partition.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// A symmetric matrix of similarities, [n, n].
struct Similarity {
  int n = 0;
  std::vector<double> values;
  [[nodiscard]] double operator()(int a, int b) const {
    return values[static_cast<std::size_t>(a) * static_cast<std::size_t>(n) +
                  static_cast<std::size_t>(b)];
  }
  [[nodiscard]] std::span<const double> row(int a) const {
    return std::span(values).subspan(static_cast<std::size_t>(a) * static_cast<std::size_t>(n),
                                     static_cast<std::size_t>(n));
  }
};

/// k-means in the space whose inner products are given, best of several k-means++ starts.
/// No cluster is empty. Source: Dhillon, Guan, Kulis, "Kernel k-means", KDD 2004; Arthur,
/// Vassilvitskii, "k-means++", SODA 2007.
[[nodiscard]] Partition kernel_kmeans(const Similarity& gram, int k, CounterRng& rng,
                                      int starts = 10);

/// k-means on the rows of the k leading eigenvectors of D^-1/2 W D^-1/2, W = max(similarity, 0)
/// without its diagonal. Source: Ng, Jordan, Weiss, "On spectral clustering", NIPS 2001.
[[nodiscard]] Partition spectral(const Similarity& similarity, int k, CounterRng& rng);

/// Cosines of items after a truncated SVD: of the rows of V sqrt(L), where G ~ V L V^T with the
/// `dimensions` largest eigenvalues. 0 for an item that vanishes.
[[nodiscard]] Similarity reduced_cosine(const Similarity& gram, int dimensions, CounterRng& rng);

/// Merges the two clusters with the largest mean similarity until k are left.
[[nodiscard]] Partition average_linkage(const Similarity& similarity, int k);

/// Eigenvectors of the `count` largest eigenvalues of a symmetric positive semidefinite matrix by
/// subspace iteration. @return  [n, count], orthonormal columns, largest eigenvalue first
[[nodiscard]] std::vector<double> leading_eigenvectors(const Similarity& matrix, int count,
                                                       CounterRng& rng);

}  // namespace d2c::cluster
