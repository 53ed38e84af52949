#pragma once

#include <map>
#include <span>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"

namespace d2c::cluster {

/// What a CachedOracle knows and counts.
struct LossCache {
  enum class Folds { chosen, others };
  /// The known losses under one set.
  struct Row {
    std::vector<TaskId> tasks;   ///< ascending
    std::vector<double> losses;  ///< [tasks, n_folds]
    std::vector<int> asked;      ///< parts of the examples that the caller asked for; n_folds = all
  };
  struct Place {
    const double* losses = nullptr;  ///< [n_folds]; null = nothing is known
    int asked = 0;
  };

  /// @throws UsageError as CachedOracle does
  LossCache(LossOracle& inner, FoldSplit folds, RaceRule rule);

  [[nodiscard]] std::size_t n_folds() const { return chosen.size(); }
  /// @return null = nothing is known under this set
  [[nodiscard]] const Row* row_of(const TaskSet& set) const;
  [[nodiscard]] Place find(const Row* row, TaskId task) const;
  [[nodiscard]] Place find(const TaskSet& set, TaskId task) const {
    return find(row_of(set), task);
  }
  /// Adds entries, or what they know more of.
  void keep(std::span<const CachedOracle::Entry> entries);
  /// Notes that the caller asked for so many parts of the examples. @pre the entry is kept
  void ask(const TaskSet& set, TaskId task, int parts);
  [[nodiscard]] bool knows_all(const double* fold_losses) const;
  /// Mean loss over some folds, weighted by their examples; NaN where there is none.
  [[nodiscard]] double mean(TaskId task, const double* fold_losses, Folds folds) const;
  /// @param losses  [n_tasks, n_folds]
  [[nodiscard]] IdVector<TaskId, double> means(std::span<const double> losses, Folds folds) const;

  LossOracle& inner;
  IdVector<FoldId, char> chosen;
  IdMatrix<TaskId, FoldId> weights;
  RaceRule rule;
  IdVector<TaskId, std::vector<FoldId>> race_folds;  ///< the chosen ones with examples, shuffled
  std::map<TaskSet, Row> rows;
  CachedOracle::Counts counts;
  RaceCounts race_counts;
  IdVector<TaskId, std::int64_t> completed;
};

/// CachedOracle::contest() where racing is on.
[[nodiscard]] std::vector<Contested> race_entrants(LossCache& cache, std::span<const TaskSet> sets,
                                                   std::span<const Entrant> entrants);

/// @throws InputError that names the entry
void refuse_unless_finite(double loss, const TaskSet& set, TaskId task);

}  // namespace d2c::cluster
