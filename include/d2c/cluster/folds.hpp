#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"

namespace d2c::cluster {

/// How the examples of every task are divided into folds. Some are kept from the search, spread
/// evenly over the task's examples; the others are dealt out to the folds of the search in turn.
struct ExampleFolds {
  int choose = 1;  ///< folds that a search looks at
  int verify = 0;  ///< examples per task that it does not see; together they are the last fold

  [[nodiscard]] int n_folds() const { return choose + (verify > 0 ? 1 : 0); }
  [[nodiscard]] bool sees(FoldId fold) const { return fold.value() < choose; }
  /// Fold of each example of a task that has `n_examples`.
  [[nodiscard]] std::vector<FoldId> of(std::int64_t n_examples) const;
  /// How many of them a search looks at.
  [[nodiscard]] std::int64_t n_seen(std::int64_t n_examples) const;
  /// What a search over tasks with so many examples looks at; a fold weighs as many examples as it
  /// has.
  [[nodiscard]] FoldSplit split(const IdVector<TaskId, std::int64_t>& n_examples) const;
};

}  // namespace d2c::cluster
