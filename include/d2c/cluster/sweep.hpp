#pragma once

#include <span>
#include <vector>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// The best partitions found for every number of clusters.
struct Sweep {
  int first_k = 1;                    ///< above 1 where constraints rule out fewer clusters
  std::vector<SearchResult> results;  ///< for k = first_k, ...; fewer than asked for if stopped
  int knee = 1;                       ///< number of clusters at the bend of the curve
  CachedOracle::Counts counts;        ///< of the whole sweep
  [[nodiscard]] std::vector<double> objectives() const;
};

/// `auto` for k = 1 .. options.k over one cache: upwards from the best of k - 1 with a cluster
/// split, then downwards from the best of k + 1 with two merged. The objective never rises with k.
/// @param options  `k` is the largest number of clusters; the budget is for each k and direction
/// @throws UsageError if no number of clusters meets the constraints
[[nodiscard]] Sweep sweep_k(const Problem& problem, const SearchOptions& options);

/// Index of the point of a falling curve farthest below the line from its first to its last point.
/// Source: Satopaa, Albrecht, Irwin, Raghavan, "Finding a 'kneedle' in a haystack", ICDCS 2011.
[[nodiscard]] std::size_t knee_of(std::span<const double> objectives);

}  // namespace d2c::cluster
