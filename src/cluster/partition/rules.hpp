#pragma once

#include <vector>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// Constraints in the form that searches use. Tasks that must stay together form a block: searches
/// move blocks, never single tasks of one.
class Rules {
 public:
  /// @throws UsageError if the constraints contradict each other or cannot be met by k clusters
  Rules(const Constraints& constraints, int n_tasks, int k);

  [[nodiscard]] int n_blocks() const { return static_cast<int>(blocks_.size()); }
  /// Tasks of a block, ascending. Blocks are in the order of their lowest tasks.
  [[nodiscard]] const TaskSet& block(int b) const { return blocks_[static_cast<std::size_t>(b)]; }
  [[nodiscard]] bool unconstrained() const { return unconstrained_; }

  /// True if a cluster may have this content: sizes and tasks kept apart. Empty is allowed.
  [[nodiscard]] bool allows(const TaskSet& set) const;
  /// The same without the lower bound, for clusters that will still grow.
  [[nodiscard]] bool allows_part(const TaskSet& set) const;
  [[nodiscard]] bool allows(const Partition& partition) const;

  /// Assigns blocks to clusters at low total cost: greedily, by backtracking where that fails, then
  /// by relocations and swaps. Without constraints every block gets its cheapest cluster.
  /// @param cost  of a task in a cluster, finite, [n_tasks, k]
  /// @throws UsageError if no partition was found
  [[nodiscard]] Partition fit(const LossMatrix& cost, EmptyClusters empty) const;
  /// The partition itself where it is allowed, else one that changes few tasks.
  [[nodiscard]] Partition repaired(const Partition& partition, EmptyClusters empty) const;

 private:
  class Fitting;

  int n_tasks_;
  int k_;
  int min_size_;
  int max_size_;
  bool unconstrained_;
  std::vector<TaskSet> blocks_;
  std::vector<std::vector<int>> apart_;  // blocks, per block
  std::vector<std::pair<int, int>> apart_tasks_;
};

}  // namespace d2c::cluster
