#pragma once

#include <span>
#include <vector>

#include "d2c/cluster/search.hpp"

#include "partition/rules.hpp"

namespace d2c::cluster {

/// New content of some clusters.
struct Change {
  std::vector<ClusterId> clusters;
  std::vector<TaskSet> sets;
  /// The clusters have little in common with what they were: their old losses say nothing.
  bool replaces = false;
};

/// A partition with the real losses of its members, and what is known of the other entries of its
/// loss matrix. Entries go stale when their cluster changes; they still order candidates.
class State {
 public:
  State(const Problem& problem, const Rules& rules, const Partition& partition,
        IdVector<TaskId, double> own);

  [[nodiscard]] const Partition& partition() const { return partition_; }
  [[nodiscard]] const TaskSet& members(ClusterId cluster) const { return members_[cluster]; }
  [[nodiscard]] int size(ClusterId cluster) const {
    return static_cast<int>(members(cluster).size());
  }
  [[nodiscard]] const Score& score() const { return score_; }
  [[nodiscard]] ClusterId cluster_of_block(BlockId b) const {
    return partition_[rules_->block(b).front()];
  }
  /// A number that changes with the content of the cluster and never comes back.
  [[nodiscard]] int version(ClusterId cluster) const { return version_[cluster]; }

  /// Weighted cost of a task in a cluster above its own adapter alone, by the newest loss known;
  /// NaN = unknown, 0 in an empty cluster.
  [[nodiscard]] double excess(TaskId task, ClusterId cluster) const;
  /// The same for the tasks of a block together.
  [[nodiscard]] double block_excess(BlockId b, ClusterId cluster) const;

  /// True if the losses that block_excess() goes by are those of the cluster as it is.
  [[nodiscard]] bool fresh(BlockId b, ClusterId cluster) const;

  /// Measures the loss of blocks in clusters where it is not known or stale, in one call.
  void refresh(std::span<const std::pair<BlockId, ClusterId>> block_and_cluster);
  /// The same for some blocks in every cluster.
  void refresh(std::span<const BlockId> blocks);

  [[nodiscard]] Change move(BlockId b, ClusterId to) const;
  [[nodiscard]] Change swap(BlockId a, BlockId b) const;
  /// True if the rules allow all new clusters.
  [[nodiscard]] bool allows(const Change& change) const;

  /// Losses of the members of all new clusters, one call for all changes.
  /// @return  one vector per change, in the order of its sets and their tasks
  [[nodiscard]] std::vector<std::vector<double>> measure(std::span<const Change> changes) const;
  /// Score of the whole partition after a change.
  [[nodiscard]] Score score_after(const Change& change, std::span<const double> losses) const;
  /// Change of the total weighted cost.
  [[nodiscard]] double cost_change(const Change& change, std::span<const double> losses) const;
  void apply(const Change& change, std::span<const double> losses);

  /// The loss matrix as far as it is known, without stale entries.
  [[nodiscard]] LossMatrix known() const;

 private:
  [[nodiscard]] bool fresh(TaskId task, ClusterId cluster) const;
  void learn(TaskId task, ClusterId cluster, double loss);

  const Problem* problem_;
  const Rules* rules_;
  IdVector<TaskId, double> own_;
  Partition partition_;
  IdVector<ClusterId, TaskSet> members_;
  IdVector<ClusterId, int> version_;
  int next_version_ = 0;
  IdVector<TaskId, double> member_loss_;
  Score score_;
  LossMatrix loss_;                           // newest known, may be stale
  IdMatrix<TaskId, ClusterId, int> seen_at_;  // version of the cluster when it was measured
};

}  // namespace d2c::cluster
