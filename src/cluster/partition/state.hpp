#pragma once

#include <span>
#include <vector>

#include "d2c/cluster/search.hpp"

#include "partition/rules.hpp"

namespace d2c::cluster {

/// New content of some clusters.
struct Change {
  std::vector<int> clusters;
  std::vector<TaskSet> sets;
  /// The clusters have little in common with what they were: their old losses say nothing.
  bool replaces = false;
};

/// A partition with the real losses of its members, and what is known of the other entries of its
/// loss matrix. Entries go stale when their cluster changes; they still order candidates.
class State {
 public:
  State(const Problem& problem, const Rules& rules, const Partition& partition,
        std::span<const double> own);

  [[nodiscard]] const Partition& partition() const { return partition_; }
  [[nodiscard]] const TaskSet& members(int cluster) const {
    return members_[static_cast<std::size_t>(cluster)];
  }
  [[nodiscard]] int size(int cluster) const { return static_cast<int>(members(cluster).size()); }
  [[nodiscard]] const Score& score() const { return score_; }
  [[nodiscard]] int cluster_of_block(int b) const { return partition_[rules_->block(b).front()]; }
  /// A number that changes with the content of the cluster and never comes back.
  [[nodiscard]] int version(int cluster) const {
    return version_[static_cast<std::size_t>(cluster)];
  }

  /// Weighted cost of a task in a cluster above its own adapter alone, by the newest loss known;
  /// NaN = unknown, 0 in an empty cluster.
  [[nodiscard]] double excess(int task, int cluster) const;
  /// The same for the tasks of a block together.
  [[nodiscard]] double block_excess(int b, int cluster) const;
  /// Total over the members of a cluster.
  [[nodiscard]] double cluster_excess(int cluster) const;

  /// Measures the loss of blocks in clusters where it is not known or stale, in one call. With
  /// racing, those of clusters that cannot be the best may be estimates: they order candidates.
  void refresh(std::span<const std::pair<int, int>> block_and_cluster);
  /// Measures the whole loss matrix where it is not known or stale.
  void refresh_all();

  [[nodiscard]] Change move(int b, int to) const;
  [[nodiscard]] Change swap(int a, int b) const;
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

  /// The loss matrix as far as it is known, without stale entries and estimates.
  [[nodiscard]] LossMatrix known() const;

 private:
  [[nodiscard]] bool fresh(int task, int cluster) const;
  void learn(int task, int cluster, double loss, bool exact = true);

  const Problem* problem_;
  const Rules* rules_;
  std::vector<double> own_;  // [n_tasks]
  Partition partition_;
  std::vector<TaskSet> members_;  // [k]
  std::vector<int> version_;      // [k]
  int next_version_ = 0;
  std::vector<double> member_loss_;  // [n_tasks]
  Score score_;
  LossMatrix loss_;           // newest known, may be stale
  std::vector<int> seen_at_;  // [n_tasks, k] version of the cluster when the entry was measured
  std::vector<char> exact_;   // [n_tasks, k] 0 = an estimate
};

}  // namespace d2c::cluster
