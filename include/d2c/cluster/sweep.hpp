#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// The best partitions found for several numbers of clusters.
struct Sweep {
  std::vector<int> k;                     ///< ascending; those that constraints rule out are absent
  std::vector<SearchResult> results;      ///< per k; fewer than asked for if stopped
  std::vector<std::int64_t> evaluations;  ///< per k: entries that were new when it was searched
  std::size_t knee = 0;                   ///< index of the bend of the curve
  CachedOracle::Counts counts;            ///< of the whole sweep
  [[nodiscard]] std::vector<double> objectives() const;
};

/// `auto` for every k asked for over one cache: upwards from the best of the k before with a
/// cluster split, then downwards from the best of k + 1 with two merged; what is better than the
/// result of a larger k is a start for that once more. The objective never rises with k.
/// @param ks       ascending, distinct, at least one
/// @param options  `k` and `starts` are not read; the budget is for each k and direction
/// @throws UsageError if no number of clusters meets the constraints
[[nodiscard]] Sweep sweep_k(const Problem& problem, const SearchOptions& options,
                            std::span<const int> ks);

/// Index of the point of a falling curve farthest below the line from its first to its last point.
/// Source: Satopaa, Albrecht, Irwin, Raghavan, "Finding a 'kneedle' in a haystack", ICDCS 2011.
/// @param ks  ascending, one per objective
[[nodiscard]] std::size_t knee_of(std::span<const int> ks, std::span<const double> objectives);

}  // namespace d2c::cluster
