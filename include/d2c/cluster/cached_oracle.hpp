#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "d2c/cluster/oracle.hpp"

namespace d2c::cluster {

/// Which folds of the examples a search may look at; the others stay unseen, to verify its choice.
struct FoldSplit {
  std::vector<FoldId> choose;        ///< folds that the search optimises; empty = all
  IdMatrix<TaskId, FoldId> weights;  ///< examples per fold; empty = equal
};

/// A LossOracle that never asks for the same entry twice. The key is the content of the set.
///
/// All entries that a call misses are asked for in one call of the inner oracle, that is in one
/// collective round. Not thread safe.
class CachedOracle {
 public:
  struct Counts {
    std::int64_t evaluations = 0;  ///< distinct entries (set, task) asked for
    std::int64_t replayed = 0;     ///< of these: taken from a restored cache, not measured
    std::int64_t cached = 0;       ///< repeated requests
    [[nodiscard]] std::int64_t measured() const { return evaluations - replayed; }
  };

  /// The known losses of one merged set.
  struct Entry {
    TaskSet set;
    std::vector<TaskId> tasks;   ///< ascending
    std::vector<double> losses;  ///< [tasks.size(), n_folds] nats per token
  };

  /// @param inner  outlives this object
  /// @throws UsageError if a fold does not exist, no fold is chosen for some task
  explicit CachedOracle(LossOracle& inner, FoldSplit folds = {});
  CachedOracle(const CachedOracle&) = delete;
  CachedOracle& operator=(const CachedOracle&) = delete;

  [[nodiscard]] int n_tasks() const { return weights_.n_rows; }
  [[nodiscard]] int n_folds() const { return weights_.n_columns; }

  /// Mean loss over the chosen folds.
  /// @param sets     none empty; repeats are allowed
  /// @param queries  repeats are allowed
  /// @return         nats per token, [queries.size()]
  /// @throws InputError if the inner oracle returns a value that is not finite
  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) {
    return read(sets, queries, Folds::chosen);
  }
  /// The same over the folds that were not chosen; NaN where there is none.
  [[nodiscard]] std::vector<double> verify_losses(std::span<const TaskSet> sets,
                                                  std::span<const Query> queries) {
    return read(sets, queries, Folds::others);
  }
  /// Loss of every task under its own adapter alone, over the chosen folds.
  [[nodiscard]] IdVector<TaskId, double> own_losses();
  /// Reduces losses measured elsewhere (e.g. of the base model) over the chosen folds.
  /// @param losses  [n_tasks, n_folds]
  [[nodiscard]] IdVector<TaskId, double> mean_of_chosen(std::span<const double> losses) const {
    return means(losses, Folds::chosen);
  }
  /// The same over the folds that were not chosen.
  [[nodiscard]] IdVector<TaskId, double> mean_of_others(std::span<const double> losses) const {
    return means(losses, Folds::others);
  }

  /// The loss if it was asked for before. Asks nobody and counts nothing.
  [[nodiscard]] std::optional<double> known(const TaskSet& set, TaskId task) const;

  [[nodiscard]] const Counts& counts() const { return counts_; }

  /// Everything known, in ascending order of sets.
  [[nodiscard]] std::vector<Entry> save() const;
  /// Adds saved entries. To the caller they look unknown until they are asked for, and count as an
  /// evaluation then: a search that runs again on a restored cache repeats every decision.
  /// @throws InputError if an entry does not fit the tasks and folds of this oracle
  void restore(std::span<const Entry> entries);

 private:
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

  [[nodiscard]] std::vector<double> read(std::span<const TaskSet> sets,
                                         std::span<const Query> queries, Folds folds);
  /// Measures what is missing, in one call of the inner oracle.
  void fetch(std::span<const TaskSet> sets, std::span<const Query> queries);
  /// @param missing  ascending
  void measure(std::span<const TaskSet> sets, std::span<const Query> missing);
  /// @return null = nothing is known under this set
  [[nodiscard]] const Row* row_of(const TaskSet& set) const;
  [[nodiscard]] std::vector<const Row*> rows_of(std::span<const TaskSet> sets) const;
  [[nodiscard]] Place find(const Row* row, TaskId task) const;
  /// Adds entries that are not known.
  void keep(std::span<const Entry> entries);
  /// Notes that the caller asked for an entry. @pre it is kept
  void ask(const TaskSet& set, TaskId task);
  /// Mean loss over some folds, weighted by their examples; NaN where there is none.
  [[nodiscard]] double mean(TaskId task, const double* fold_losses, Folds folds) const;
  [[nodiscard]] IdVector<TaskId, double> means(std::span<const double> losses, Folds folds) const;

  LossOracle& inner_;
  IdVector<FoldId, char> chosen_;
  IdMatrix<TaskId, FoldId> weights_;
  std::map<TaskSet, Row> rows_;
  Counts counts_;
};

}  // namespace d2c::cluster
