#include "loss/loss_cache.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

/// Where a task is, or would be.
std::ptrdiff_t position(const TaskSet& ascending, TaskId task) {
  return std::ranges::lower_bound(ascending, task) - ascending.begin();
}

}  // namespace

LossCache::LossCache(LossOracle& oracle, FoldSplit folds)
    : inner(oracle),
      chosen(oracle.n_folds(), folds.choose.empty() ? 1 : 0),
      weights(std::move(folds.weights)) {
  for (const FoldId fold : folds.choose) {
    if (fold < 0 || fold.value() >= chosen.n())
      throw UsageError({fmt::format("fold {} is chosen, but there are {} folds", fold, chosen.n()),
                        "folds count from 0", "choose folds that exist"});
    chosen[fold] = 1;
  }
  if (weights.values.empty()) weights = {inner.n_tasks(), chosen.n(), 1.0};
  D2C_EXPECTS(weights.n_rows == inner.n_tasks() && weights.n_columns == chosen.n());
  for (const TaskId task : ids<TaskId>(inner.n_tasks())) {
    const std::vector<double> zeros(n_folds());
    if (!std::isfinite(mean(task, zeros.data(), Folds::chosen)))
      throw UsageError({fmt::format("task {} has no example in the chosen folds", task),
                        "the search could not see the task", "use fewer folds or more examples"});
  }
}

const LossCache::Row* LossCache::row_of(const TaskSet& set) const {
  const auto found = rows.find(set);
  return found == rows.end() ? nullptr : &found->second;
}

LossCache::Place LossCache::find(const Row* row, TaskId task) const {
  if (row == nullptr) return {};
  const auto at = static_cast<std::size_t>(position(row->tasks, task));
  if (at == row->tasks.size() || row->tasks[at] != task) return {};
  return {&row->losses[at * n_folds()], row->asked[at] != 0};
}

void LossCache::ask(const TaskSet& set, TaskId task) {
  Row& row = rows.at(set);
  row.asked[static_cast<std::size_t>(position(row.tasks, task))] = 1;
}

void LossCache::keep(std::span<const CachedOracle::Entry> entries) {
  const std::size_t n = n_folds();
  for (const CachedOracle::Entry& entry : entries) {
    Row& row = rows[entry.set];
    Row merged;
    for (std::size_t i = 0, j = 0; i < row.tasks.size() || j < entry.tasks.size();) {
      const bool is_old =
          j == entry.tasks.size() || (i < row.tasks.size() && row.tasks[i] <= entry.tasks[j]);
      const bool is_new =
          i == row.tasks.size() || (j < entry.tasks.size() && entry.tasks[j] <= row.tasks[i]);
      merged.tasks.push_back(is_old ? row.tasks[i] : entry.tasks[j]);
      merged.asked.push_back(is_old ? row.asked[i] : 0);
      const double* from = is_old ? &row.losses[i * n] : &entry.losses[j * n];
      merged.losses.insert(merged.losses.end(), from, from + n);
      i += is_old ? 1 : 0;
      j += is_new ? 1 : 0;
    }
    row = std::move(merged);
  }
}

double LossCache::mean(TaskId task, const double* fold_losses, Folds folds) const {
  double sum = 0;
  double total = 0;
  int n_used = 0;
  double last = std::numeric_limits<double>::quiet_NaN();
  for (const FoldId fold : chosen.ids()) {
    if ((chosen[fold] != 0) != (folds == Folds::chosen)) continue;
    const double weight = weights(task, fold);
    if (!(weight > 0)) continue;
    sum += weight * fold_losses[fold.index()];
    total += weight;
    last = fold_losses[fold.index()];
    ++n_used;
  }
  // The mean of one value is that value, to the last bit.
  return n_used > 1 ? sum / total : last;
}

IdVector<TaskId, double> LossCache::means(std::span<const double> losses, Folds folds) const {
  D2C_EXPECTS(losses.size() == weights.values.size());
  IdVector<TaskId, double> result(weights.n_rows);
  for (const TaskId task : result.ids())
    result[task] = mean(task, &losses[task.index() * n_folds()], folds);
  return result;
}

void refuse_unless_finite(double loss, const TaskSet& set, TaskId task) {
  if (std::isfinite(loss)) return;
  throw InputError({.file = {},
                    .item = fmt::format("loss of task {} under the merge of tasks {}", task,
                                        fmt::join(set, " "))},
                   {fmt::format("is {}", loss), "clusters cannot be compared by it",
                    "check the values of these adapters"});
}

}  // namespace d2c::cluster
