#pragma once

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// Calls a provider and checks what it returns. @throws UsageError if there is none
[[nodiscard]] SimilarityMatrix provided(const SimilarityProvider& provider, int n_tasks);

/// @name Baselines
/// @{
[[nodiscard]] SearchResult random_search(const Problem& problem, const SearchOptions& options);
[[nodiscard]] SearchResult one_search(const Problem& problem, const SearchOptions& options);
[[nodiscard]] SearchResult own_search(const Problem& problem, const SearchOptions& options);
[[nodiscard]] SearchResult kmeans_search(const Problem& problem, const SearchOptions& options);
[[nodiscard]] SearchResult kmeans_trimmed_search(const Problem& problem,
                                                 const SearchOptions& options);
[[nodiscard]] SearchResult spectral_search(const Problem& problem, const SearchOptions& options);
[[nodiscard]] SearchResult agglomerative_search(const Problem& problem,
                                                const SearchOptions& options);
/// @}

/// Good starts, then local search with measured moves, then perturbations.
[[nodiscard]] SearchResult auto_search(const Problem& problem, const SearchOptions& options);

/// Ward-like agglomeration: the increase of the cost by a merge is measured. The nearest clusters
/// by similarity are candidates; without a similarity n_tasks^2 losses are measured to get one.
[[nodiscard]] SearchResult agglomerative_loss_search(const Problem& problem,
                                                     const SearchOptions& options);

/// The best of all partitions into at most k clusters. Measures every set of tasks under its merge:
/// n 2^(n-1) entries for n tasks. @throws UsageError if there are more than these (blocks of) tasks
inline constexpr int exhaustive_most_blocks = 14;
[[nodiscard]] SearchResult exhaustive_search(const Problem& problem, const SearchOptions& options);
void check_exhaustive(const SearchOptions& options, int n_tasks);

}  // namespace d2c::cluster
