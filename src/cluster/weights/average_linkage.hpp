#pragma once

#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/similarity_matrix.hpp"

namespace d2c::cluster {

/// Merges the two clusters with the largest mean similarity until k are left. Takes 8 n^2 bytes.
[[nodiscard]] Partition average_linkage(const SimilarityMatrix& similarity, int k);

}  // namespace d2c::cluster
