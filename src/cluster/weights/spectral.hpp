#pragma once

#include <Eigen/Core>

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/similarity_matrix.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::cluster {

/// k-means on the rows of the k leading eigenvectors of D^-1/2 W D^-1/2, W = max(similarity, 0)
/// without its diagonal. Takes 8 n^2 bytes. Source: Ng, Jordan, Weiss, "On spectral clustering",
/// NIPS 2001.
[[nodiscard]] Partition spectral(const SimilarityMatrix& similarity, int k, CounterRng& rng);

/// Cosines of tasks after a truncated SVD: of the rows of V sqrt(L), where G ~ V L V^T with the
/// `dimensions` largest eigenvalues. 0 for a task that vanishes.
[[nodiscard]] SimilarityMatrix reduced_cosine(const SimilarityMatrix& gram, int dimensions,
                                              CounterRng& rng);

/// Eigenvectors of the `count` largest eigenvalues of a symmetric positive semidefinite matrix by
/// subspace iteration.
/// @return  [n, count], orthonormal columns, largest eigenvalue first; the largest component of
///          each is positive
[[nodiscard]] Eigen::MatrixXd leading_eigenvectors(const Eigen::Ref<const Eigen::MatrixXd>& matrix,
                                                   Eigen::Index count, CounterRng& rng);

}  // namespace d2c::cluster
