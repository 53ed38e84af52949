#include "d2c/cluster/partition.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"

namespace d2c::cluster {

Partition::Partition(Assignment assignment, int k) : assignment_(std::move(assignment)), k_(k) {
  D2C_EXPECTS(std::all_of(assignment_.begin(), assignment_.end(),
                          [k](ClusterId cluster) { return cluster >= 0 && cluster.value() < k; }));
}

TaskSet Partition::members(ClusterId cluster) const {
  TaskSet set;
  for (const TaskId task : tasks())
    if ((*this)[task] == cluster) set.push_back(task);
  return set;
}

IdVector<ClusterId, TaskSet> Partition::clusters() const {
  IdVector<ClusterId, TaskSet> sets(k_);
  for (const TaskId task : tasks()) sets[(*this)[task]].push_back(task);
  return sets;
}

IdVector<ClusterId, int> Partition::sizes() const {
  IdVector<ClusterId, int> sizes(k_);
  for (const ClusterId cluster : assignment_) ++sizes[cluster];
  return sizes;
}

int Partition::n_nonempty() const {
  const IdVector<ClusterId, int> size = sizes();
  return k_ - static_cast<int>(std::count(size.begin(), size.end(), 0));
}

ClusterLabels Partition::canonical_labels() const {
  ClusterLabels labels(k_, ClusterId::none());
  ClusterId next;
  for (const ClusterId cluster : assignment_)
    if (labels[cluster] == ClusterId::none()) labels[cluster] = next++;
  for (ClusterId& label : labels)
    if (label == ClusterId::none()) label = next++;
  return labels;
}

Partition Partition::relabelled(const ClusterLabels& labels) const {
  Partition result = *this;
  for (ClusterId& cluster : result.assignment_) cluster = labels[cluster];
  return result;
}

IdVector<TaskId, double> LossMatrix::of(const Partition& partition) const {
  IdVector<TaskId, double> losses(n_rows);
  for (const TaskId task : rows()) losses[task] = (*this)(task, partition[task]);
  return losses;
}

LossMatrix LossMatrix::relabelled(const ClusterLabels& labels) const {
  LossMatrix result(n_rows, n_columns);
  for (const TaskId task : rows())
    for (const ClusterId cluster : columns())
      result(task, labels[cluster]) = (*this)(task, cluster);
  return result;
}

}  // namespace d2c::cluster
