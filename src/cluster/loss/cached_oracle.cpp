#include "d2c/cluster/cached_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

bool is_task_set(const TaskSet& set, int n_tasks) {
  return !set.empty() && set.front() >= 0 && set.back().value() < n_tasks &&
         std::adjacent_find(set.begin(), set.end(), std::greater_equal<>()) == set.end();
}

/// Where a task is, or would be.
std::ptrdiff_t position(const TaskSet& ascending, TaskId task) {
  return std::ranges::lower_bound(ascending, task) - ascending.begin();
}

/// @throws InputError that names the entry
void refuse_unless_finite(double loss, const TaskSet& set, TaskId task) {
  if (std::isfinite(loss)) return;
  throw InputError({.file = {},
                    .item = fmt::format("loss of task {} under the merge of tasks {}", task,
                                        fmt::join(set, " "))},
                   {fmt::format("is {}", loss), "clusters cannot be compared by it",
                    "check the values of these adapters"});
}

}  // namespace

CachedOracle::CachedOracle(LossOracle& inner, FoldSplit folds)
    : inner_(inner),
      chosen_(inner.n_folds(), folds.choose.empty() ? 1 : 0),
      weights_(std::move(folds.weights)) {
  for (const FoldId fold : folds.choose) {
    if (fold < 0 || fold.value() >= chosen_.n())
      throw UsageError({fmt::format("fold {} is chosen, but there are {} folds", fold, chosen_.n()),
                        "folds count from 0", "choose folds that exist"});
    chosen_[fold] = 1;
  }
  if (weights_.values.empty()) weights_ = {inner.n_tasks(), chosen_.n(), 1.0};
  D2C_EXPECTS(weights_.n_rows == inner.n_tasks() && weights_.n_columns == chosen_.n());
  for (const TaskId task : ids<TaskId>(inner.n_tasks())) {
    const std::vector<double> zeros(chosen_.size());
    if (!std::isfinite(mean(task, zeros.data(), Folds::chosen)))
      throw UsageError({fmt::format("task {} has no example in the chosen folds", task),
                        "the search could not see the task", "use fewer folds or more examples"});
  }
}

IdVector<TaskId, double> CachedOracle::own_losses() {
  std::vector<TaskSet> sets;
  std::vector<Query> queries;
  for (const TaskId task : ids<TaskId>(n_tasks())) {
    sets.push_back({task});
    queries.push_back({task.index(), task});
  }
  return losses(sets, queries);
}

std::optional<double> CachedOracle::known(const TaskSet& set, TaskId task) const {
  const auto [losses, asked] = find(row_of(set), task);
  if (!asked) return std::nullopt;
  return mean(task, losses, Folds::chosen);
}

std::vector<CachedOracle::Entry> CachedOracle::save() const {
  std::vector<Entry> entries;
  for (const auto& [set, row] : rows_) entries.push_back({set, row.tasks, row.losses});
  return entries;
}

void CachedOracle::restore(std::span<const Entry> entries) {
  for (const Entry& entry : entries)
    if (!is_task_set(entry.set, n_tasks()) || !is_task_set(entry.tasks, n_tasks()) ||
        entry.losses.size() != entry.tasks.size() * chosen_.size() ||
        !std::ranges::all_of(entry.losses, [](double loss) { return std::isfinite(loss); }))
      throw InputError(
          {.file = {}, .item = fmt::format("saved losses of tasks {}", fmt::join(entry.set, " "))},
          {fmt::format("do not fit {} tasks with {} folds", n_tasks(), n_folds()),
           "a search cannot be continued from them", "start without the saved losses"});
  keep(entries);
}

std::vector<double> CachedOracle::read(std::span<const TaskSet> sets,
                                       std::span<const Query> queries, Folds folds) {
  fetch(sets, queries);
  const auto rows = rows_of(sets);
  std::vector<double> values;
  values.reserve(queries.size());
  for (const auto& [set, task] : queries)
    values.push_back(mean(task, find(rows[set], task).losses, folds));
  return values;
}

void CachedOracle::fetch(std::span<const TaskSet> sets, std::span<const Query> queries) {
  // Sets of equal content share the index of the first of them.
  std::map<TaskSet, std::size_t> first;
  std::vector<std::size_t> representative;
  for (const TaskSet& set : sets) {
    D2C_EXPECTS(is_task_set(set, n_tasks()));
    representative.push_back(first.try_emplace(set, representative.size()).first->second);
  }
  const auto rows = rows_of(sets);
  std::vector<Query> missing;
  std::int64_t replayed = 0;
  for (const auto& [set, task] : queries) {
    D2C_EXPECTS(set < sets.size() && task >= 0 && task.value() < n_tasks());
    const auto [losses, asked] = find(rows[set], task);
    if (asked) continue;
    if (losses == nullptr) {
      missing.push_back({representative[set], task});
      continue;
    }
    ask(sets[set], task);
    ++replayed;
  }
  std::ranges::sort(missing);
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  if (!missing.empty()) measure(sets, missing);
  const std::int64_t answered = replayed + std::ssize(missing);
  counts_.evaluations += answered;
  counts_.replayed += replayed;
  counts_.cached += std::ssize(queries) - answered;
}

void CachedOracle::measure(std::span<const TaskSet> sets, std::span<const Query> missing) {
  std::vector<TaskSet> asked_sets;
  std::vector<Query> asked;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const Query& query = missing[i];
    if (i == 0 || query.set != missing[i - 1].set) asked_sets.push_back(sets[query.set]);
    asked.push_back({asked_sets.size() - 1, query.task});
  }
  const std::size_t n = chosen_.size();
  const std::vector<double> values = inner_.losses(asked_sets, asked);
  D2C_EXPECTS(values.size() == asked.size() * n);
  std::vector<Entry> entries;
  entries.reserve(asked_sets.size());
  for (const TaskSet& set : asked_sets) entries.push_back({set, {}, {}});
  for (std::size_t i = 0; i < asked.size(); ++i) {
    Entry& entry = entries[asked[i].set];
    entry.tasks.push_back(asked[i].task);
    for (const double loss : std::span(values).subspan(i * n, n)) {
      refuse_unless_finite(loss, entry.set, asked[i].task);
      entry.losses.push_back(loss);
    }
  }
  keep(entries);
  for (const auto& [set, task] : asked) ask(asked_sets[set], task);
}

const CachedOracle::Row* CachedOracle::row_of(const TaskSet& set) const {
  const auto found = rows_.find(set);
  return found == rows_.end() ? nullptr : &found->second;
}

std::vector<const CachedOracle::Row*> CachedOracle::rows_of(std::span<const TaskSet> sets) const {
  std::vector<const Row*> rows;
  for (const TaskSet& set : sets) rows.push_back(row_of(set));
  return rows;
}

CachedOracle::Place CachedOracle::find(const Row* row, TaskId task) const {
  if (row == nullptr) return {};
  const auto at = static_cast<std::size_t>(position(row->tasks, task));
  if (at == row->tasks.size() || row->tasks[at] != task) return {};
  return {&row->losses[at * chosen_.size()], row->asked[at] != 0};
}

void CachedOracle::ask(const TaskSet& set, TaskId task) {
  Row& row = rows_.at(set);
  row.asked[static_cast<std::size_t>(position(row.tasks, task))] = 1;
}

void CachedOracle::keep(std::span<const Entry> entries) {
  const std::size_t n = chosen_.size();
  for (const Entry& entry : entries) {
    Row& row = rows_[entry.set];
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

double CachedOracle::mean(TaskId task, const double* fold_losses, Folds folds) const {
  double sum = 0;
  double total = 0;
  int n_used = 0;
  double last = std::numeric_limits<double>::quiet_NaN();
  for (const FoldId fold : chosen_.ids()) {
    if ((chosen_[fold] != 0) != (folds == Folds::chosen)) continue;
    const double weight = weights_(task, fold);
    if (!(weight > 0)) continue;
    sum += weight * fold_losses[fold.index()];
    total += weight;
    last = fold_losses[fold.index()];
    ++n_used;
  }
  // The mean of one value is that value, to the last bit.
  return n_used > 1 ? sum / total : last;
}

IdVector<TaskId, double> CachedOracle::means(std::span<const double> losses, Folds folds) const {
  D2C_EXPECTS(losses.size() == weights_.values.size());
  IdVector<TaskId, double> result(weights_.n_rows);
  for (const TaskId task : result.ids())
    result[task] = mean(task, &losses[task.index() * chosen_.size()], folds);
  return result;
}

}  // namespace d2c::cluster
