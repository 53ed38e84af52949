#pragma once

#include <limits>
#include <vector>

#include "d2c/cluster/oracle.hpp"

namespace d2c::cluster {

/// Cluster of every task, [n_tasks], values in [0, k).
using Assignment = std::vector<int>;

/// Tasks in at most k clusters. Clusters may be empty.
class Partition {
 public:
  Partition() = default;
  /// @pre every value of `assignment` is in [0, k)
  Partition(Assignment assignment, int k);

  [[nodiscard]] int n_tasks() const { return static_cast<int>(assignment_.size()); }
  [[nodiscard]] int k() const { return k_; }
  [[nodiscard]] const Assignment& assignment() const { return assignment_; }
  [[nodiscard]] int operator[](int task) const {
    return assignment_[static_cast<std::size_t>(task)];
  }
  /// Members in ascending order.
  [[nodiscard]] TaskSet members(int cluster) const;
  /// Members of every cluster, [k].
  [[nodiscard]] std::vector<TaskSet> clusters() const;
  [[nodiscard]] std::vector<int> sizes() const;
  [[nodiscard]] int n_nonempty() const;

  /// New label of every cluster when clusters are numbered by their lowest task, empty ones last.
  [[nodiscard]] std::vector<int> canonical_labels() const;
  /// @param labels  a permutation of 0 .. k-1
  [[nodiscard]] Partition relabelled(const std::vector<int>& labels) const;
  [[nodiscard]] Partition canonical() const { return relabelled(canonical_labels()); }

  void move(int task, int cluster) { assignment_[static_cast<std::size_t>(task)] = cluster; }

  friend bool operator==(const Partition&, const Partition&) = default;

 private:
  Assignment assignment_;
  int k_ = 0;
};

/// Loss of every task under every cluster's merged adapter; NaN = not evaluated.
struct LossMatrix {
  int n_tasks = 0;
  int k = 0;
  std::vector<double> values;  ///< [n_tasks, k] nats per token

  LossMatrix() = default;
  LossMatrix(int tasks, int clusters)
      : n_tasks(tasks),
        k(clusters),
        values(static_cast<std::size_t>(tasks) * static_cast<std::size_t>(clusters),
               std::numeric_limits<double>::quiet_NaN()) {}

  [[nodiscard]] double& operator()(int task, int cluster) {
    return values[static_cast<std::size_t>(task) * static_cast<std::size_t>(k) +
                  static_cast<std::size_t>(cluster)];
  }
  [[nodiscard]] double operator()(int task, int cluster) const {
    return const_cast<LossMatrix&>(*this)(task, cluster);
  }
  /// Loss of every task under its own cluster, [n_tasks].
  [[nodiscard]] std::vector<double> of(const Partition& partition) const;
  [[nodiscard]] LossMatrix relabelled(const std::vector<int>& labels) const;
};

}  // namespace d2c::cluster
