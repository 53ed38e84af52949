#include "d2c/cluster/objective.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace

Objective::Objective(ObjectiveKind kind, int n_tasks, IdVector<TaskId, double> weights,
                     References references)
    : kind_(kind), weights_(std::move(weights)), offset_(n_tasks), scale_(n_tasks, 1.0) {
  if (weights_.empty()) weights_ = IdVector<TaskId, double>(n_tasks, 1.0);
  D2C_EXPECTS(weights_.n() == n_tasks);
  for (const TaskId task : weights_.ids()) {
    if (!std::isfinite(weights_[task]) || weights_[task] < 0)
      throw UsageError({fmt::format("the weight of task {} is {}", task, weights_[task]),
                        "the objective is a weighted mean", "use finite weights, 0 or more"});
    total_weight_ += weights_[task];
  }
  if (!(total_weight_ > 0))
    throw UsageError({"the weights of all tasks are 0", "there is nothing to optimise",
                      "give at least one task a weight above 0"});
  if (kind == ObjectiveKind::loss) return;

  D2C_EXPECTS(references.base.n() == n_tasks && references.own.n() == n_tasks);
  std::vector<double> headrooms;
  for (const TaskId task : weights_.ids()) {
    const double headroom = references.base[task] - references.own[task];
    if (headroom >= min_headroom) {
      scale_[task] = headroom;
      headrooms.push_back(headroom);
    } else {
      helpless_.push_back(task);
    }
  }
  const double common = headrooms.empty() ? 1.0 : median(headrooms);
  for (const TaskId task : helpless_) scale_[task] = common;
  offset_ = std::move(references.own);
}

double Objective::gain(TaskId task, double loss) const {
  if (kind_ == ObjectiveKind::loss || std::binary_search(helpless_.begin(), helpless_.end(), task))
    return std::numeric_limits<double>::quiet_NaN();
  return 1.0 - cost(task, loss);
}

Score Objective::score(const IdVector<TaskId, double>& losses) const {
  D2C_EXPECTS(losses.size() == weights_.size());
  double sum = 0;
  double largest = -std::numeric_limits<double>::infinity();
  for (const TaskId task : weights_.ids()) {
    if (weight(task) == 0) continue;
    const double value = cost(task, losses[task]);
    sum += weight(task) * value;
    largest = std::max(largest, value);
  }
  const double mean = sum / total_weight_;
  return kind_ == ObjectiveKind::worst ? Score{largest, mean} : Score{mean, 0};
}

}  // namespace d2c::cluster
