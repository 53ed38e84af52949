#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// What is searched without one fold after the other.
struct CrossFitProblem {
  LossOracle& oracle;
  /// At least two folds to choose by; every task has examples in two of them.
  FoldSplit folds;
  ObjectiveKind objective = ObjectiveKind::loss;
  IdVector<TaskId, double> weights = {};  ///< empty = 1 for each
  /// Losses without an adapter and under the task's own, [n_tasks, n_folds]; needed by gain, worst.
  std::vector<double> base = {};
  std::vector<double> own = {};
  /// As in Problem. `stop` gets the losses that the present search knows.
  SimilarityProvider similarity = {};
  SimilarityProvider trimmed_similarity = {};
  decltype(Problem::once) once = {};
  std::function<bool(const CachedOracle&)> stop = {};
};

/// What searches are worth on examples that they did not see.
struct CrossFit {
  /// Loss of every task on all folds, each under the partition that was found without it.
  /// [result] nats per token
  std::vector<IdVector<TaskId, double>> losses;
  std::vector<std::vector<Partition>> partitions;  ///< [result][fold]
  std::vector<std::vector<double>> objectives;     ///< [result][fold] on the examples it saw
  std::int64_t evaluations = 0;                    ///< of all searches, each by itself
  std::int64_t measured = 0;                       ///< of these, not known before
};

/// Repeats a search without one fold after the other, and judges what it found by the fold that it
/// did not see. All of them share what is known, so that they measure what differs only.
///
/// @param search  the results, in the same number for every fold
/// @param known   losses known before; those that were measured are added
/// @return        nothing if `problem.stop` ended a search
/// @throws UsageError if a task has examples in one fold only
[[nodiscard]] std::optional<CrossFit> cross_fit(
    const CrossFitProblem& problem,
    const std::function<std::vector<SearchResult>(const Problem&)>& search,
    std::vector<CachedOracle::Entry>& known);

/// Agreement of two partitions: 1 = the same, 0 = as by chance.
/// Source: Hubert, Arabie, "Comparing partitions", Journal of Classification 1985.
[[nodiscard]] double adjusted_rand_index(const Partition& a, const Partition& b);

}  // namespace d2c::cluster
