#pragma once

#include <vector>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// Tasks that must stay together.
using BlockId = Id<struct BlockTag>;

/// Of a task in a cluster.
using CostMatrix = IdMatrix<TaskId, ClusterId>;

/// Constraints in the form that searches use. Searches move blocks, never
/// single tasks of one.
class Rules {
 public:
  /// @throws UsageError if the constraints contradict each other or cannot be met by k clusters
  Rules(const Constraints& constraints, int n_tasks, int k);

  [[nodiscard]] int n_blocks() const { return blocks_.n(); }
  [[nodiscard]] IdRange<BlockId> blocks() const { return blocks_.ids(); }
  /// Tasks of a block, ascending. Blocks are in the order of their lowest tasks.
  [[nodiscard]] const TaskSet& block(BlockId b) const { return blocks_[b]; }
  [[nodiscard]] BlockId block_of(TaskId task) const { return block_of_[task]; }
  /// Blocks that lie in a set, in their order. @pre it holds no part of a block alone
  [[nodiscard]] std::vector<BlockId> blocks_in(const TaskSet& set) const;
  [[nodiscard]] bool unconstrained() const { return unconstrained_; }

  /// True if a cluster may have this content: sizes and tasks kept apart. Empty is allowed.
  [[nodiscard]] bool allows(const TaskSet& set) const;
  /// The same without the lower bound, for clusters that will still grow.
  [[nodiscard]] bool allows_part(const TaskSet& set) const;
  [[nodiscard]] bool allows(const Partition& partition) const;

  /// Assigns blocks to clusters at low total cost: greedily, by backtracking where that fails, then
  /// by relocations and swaps. Without constraints every block gets its cheapest cluster.
  /// @param cost  finite
  /// @throws UsageError if no partition was found
  [[nodiscard]] Partition fit(const CostMatrix& cost, EmptyClusters empty) const;
  /// The partition itself where it is allowed, else one that changes few tasks.
  [[nodiscard]] Partition repaired(const Partition& partition, EmptyClusters empty) const;

 private:
  class Fitting;

  int n_tasks_;
  int k_;
  int min_size_;
  int max_size_;
  bool unconstrained_;
  IdVector<BlockId, TaskSet> blocks_;
  IdVector<TaskId, BlockId> block_of_;
  IdVector<BlockId, std::vector<BlockId>> apart_;
  std::vector<std::pair<TaskId, TaskId>> apart_tasks_;
};

}  // namespace d2c::cluster
