#pragma once

#include <span>
#include <vector>

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/similarity_matrix.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// A symmetric matrix, [n, n], to work on.
struct SymmetricMatrix {
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

[[nodiscard]] SymmetricMatrix copy_of(const SimilarityMatrix& similarity);

/// k-means in the space whose inner products are given, best of several k-means++ starts.
/// No cluster is empty. Source: Dhillon, Guan, Kulis, "Kernel k-means", KDD 2004; Arthur,
/// Vassilvitskii, "k-means++", SODA 2007.
[[nodiscard]] Partition kernel_kmeans(const SimilarityMatrix& gram, int k, CounterRng& rng,
                                      int starts = 10);

/// k-means on the rows of the k leading eigenvectors of D^-1/2 W D^-1/2, W = max(similarity, 0)
/// without its diagonal. Takes 8 n^2 bytes. Source: Ng, Jordan, Weiss, "On spectral clustering",
/// NIPS 2001.
[[nodiscard]] Partition spectral(const SimilarityMatrix& similarity, int k, CounterRng& rng);

/// Cosines of items after a truncated SVD: of the rows of V sqrt(L), where G ~ V L V^T with the
/// `dimensions` largest eigenvalues. 0 for an item that vanishes.
[[nodiscard]] SymmetricMatrix reduced_cosine(const SimilarityMatrix& gram, int dimensions,
                                             CounterRng& rng);

/// Merges the two clusters with the largest mean similarity until k are left. Takes 8 n^2 bytes.
[[nodiscard]] Partition average_linkage(const SimilarityMatrix& similarity, int k);

/// Eigenvectors of the `count` largest eigenvalues of a symmetric positive semidefinite matrix by
/// subspace iteration. @return  [n, count], orthonormal columns, largest eigenvalue first
[[nodiscard]] std::vector<double> leading_eigenvectors(const SymmetricMatrix& matrix, int count,
                                                       CounterRng& rng);

}  // namespace d2c::cluster
