#pragma once

#include <limits>
#include <vector>

#include "d2c/cluster/oracle.hpp"

namespace d2c::cluster {

/// Cluster of every task, below k.
using Assignment = IdVector<TaskId, ClusterId>;

/// New numbers of clusters, a permutation.
using ClusterLabels = IdVector<ClusterId, ClusterId>;

/// Tasks in at most k clusters. Clusters may be empty.
class Partition {
 public:
  Partition() = default;
  /// @pre all clusters of `assignment` are below k
  Partition(Assignment assignment, int k);

  [[nodiscard]] int n_tasks() const { return assignment_.n(); }
  [[nodiscard]] int k() const { return k_; }
  [[nodiscard]] IdRange<TaskId> tasks() const { return ids<TaskId>(n_tasks()); }
  [[nodiscard]] IdRange<ClusterId> cluster_ids() const { return ids<ClusterId>(k_); }
  [[nodiscard]] const Assignment& assignment() const { return assignment_; }
  [[nodiscard]] ClusterId operator[](TaskId task) const { return assignment_[task]; }
  /// Members in ascending order.
  [[nodiscard]] TaskSet members(ClusterId cluster) const;
  /// Members of every cluster.
  [[nodiscard]] IdVector<ClusterId, TaskSet> clusters() const;
  [[nodiscard]] IdVector<ClusterId, int> sizes() const;
  [[nodiscard]] int n_nonempty() const;

  /// New label of every cluster when clusters are numbered by their lowest task, empty ones last.
  [[nodiscard]] ClusterLabels canonical_labels() const;
  [[nodiscard]] Partition relabelled(const ClusterLabels& labels) const;
  [[nodiscard]] Partition canonical() const { return relabelled(canonical_labels()); }

  void move(TaskId task, ClusterId cluster) { assignment_[task] = cluster; }

  friend bool operator==(const Partition&, const Partition&) = default;

 private:
  Assignment assignment_;
  int k_ = 0;
};

/// Loss of every task under every cluster's merged adapter, nats per token; NaN = not evaluated.
struct LossMatrix : IdMatrix<TaskId, ClusterId> {
  LossMatrix() = default;
  LossMatrix(int n_tasks, int k) : IdMatrix(n_tasks, k, std::numeric_limits<double>::quiet_NaN()) {}

  /// Loss of every task under its own cluster.
  [[nodiscard]] IdVector<TaskId, double> of(const Partition& partition) const;
  [[nodiscard]] LossMatrix relabelled(const ClusterLabels& labels) const;
};

}  // namespace d2c::cluster
