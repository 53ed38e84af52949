#include "d2c/cluster/partition.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"

namespace d2c::cluster {

Partition::Partition(Assignment assignment, int k) : assignment_(std::move(assignment)), k_(k) {
  D2C_EXPECTS(std::all_of(assignment_.begin(), assignment_.end(),
                          [k](int cluster) { return cluster >= 0 && cluster < k; }));
}

TaskSet Partition::members(int cluster) const {
  TaskSet set;
  for (int task = 0; task < n_tasks(); ++task)
    if ((*this)[task] == cluster) set.push_back(task);
  return set;
}

std::vector<TaskSet> Partition::clusters() const {
  std::vector<TaskSet> sets(static_cast<std::size_t>(k_));
  for (int task = 0; task < n_tasks(); ++task)
    sets[static_cast<std::size_t>((*this)[task])].push_back(task);
  return sets;
}

std::vector<int> Partition::sizes() const {
  std::vector<int> sizes(static_cast<std::size_t>(k_));
  for (const int cluster : assignment_) ++sizes[static_cast<std::size_t>(cluster)];
  return sizes;
}

int Partition::n_nonempty() const {
  const std::vector<int> size = sizes();
  return k_ - static_cast<int>(std::count(size.begin(), size.end(), 0));
}

std::vector<int> Partition::canonical_labels() const {
  std::vector<int> labels(static_cast<std::size_t>(k_), -1);
  int next = 0;
  for (const int cluster : assignment_) {
    int& label = labels[static_cast<std::size_t>(cluster)];
    if (label < 0) label = next++;
  }
  for (int& label : labels)
    if (label < 0) label = next++;
  return labels;
}

Partition Partition::relabelled(const std::vector<int>& labels) const {
  Partition result = *this;
  for (int& cluster : result.assignment_) cluster = labels[static_cast<std::size_t>(cluster)];
  return result;
}

std::vector<double> LossMatrix::of(const Partition& partition) const {
  std::vector<double> losses(static_cast<std::size_t>(n_tasks));
  for (int task = 0; task < n_tasks; ++task)
    losses[static_cast<std::size_t>(task)] = (*this)(task, partition[task]);
  return losses;
}

LossMatrix LossMatrix::relabelled(const std::vector<int>& labels) const {
  LossMatrix result(n_tasks, k);
  for (int task = 0; task < n_tasks; ++task)
    for (int cluster = 0; cluster < k; ++cluster)
      result(task, labels[static_cast<std::size_t>(cluster)]) = (*this)(task, cluster);
  return result;
}

}  // namespace d2c::cluster
