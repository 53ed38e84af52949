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
    std::vector<char> asked;     ///< [tasks] whether the caller asked for it
  };
  struct Place {
    const double* losses = nullptr;  ///< [n_folds]; null = nothing is known
    bool asked = false;
  };

  /// @throws UsageError as CachedOracle does
  LossCache(LossOracle& inner, FoldSplit folds);

  [[nodiscard]] std::size_t n_folds() const { return chosen.size(); }
  /// @return null = nothing is known under this set
  [[nodiscard]] const Row* row_of(const TaskSet& set) const;
  [[nodiscard]] Place find(const Row* row, TaskId task) const;
  [[nodiscard]] Place find(const TaskSet& set, TaskId task) const {
    return find(row_of(set), task);
  }
  /// Adds entries that are not known.
  void keep(std::span<const CachedOracle::Entry> entries);
  /// Notes that the caller asked for an entry. @pre it is kept
  void ask(const TaskSet& set, TaskId task);
  /// Mean loss over some folds, weighted by their examples; NaN where there is none.
  [[nodiscard]] double mean(TaskId task, const double* fold_losses, Folds folds) const;
  /// @param losses  [n_tasks, n_folds]
  [[nodiscard]] IdVector<TaskId, double> means(std::span<const double> losses, Folds folds) const;

  LossOracle& inner;
  IdVector<FoldId, char> chosen;
  IdMatrix<TaskId, FoldId> weights;
  std::map<TaskSet, Row> rows;
  CachedOracle::Counts counts;
};

/// @throws InputError that names the entry
void refuse_unless_finite(double loss, const TaskSet& set, TaskId task);

}  // namespace d2c::cluster
