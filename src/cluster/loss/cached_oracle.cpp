#include "d2c/cluster/cached_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

bool is_task_set(const TaskSet& set, int n_tasks) {
  return !set.empty() && set.front() >= 0 && set.back() < n_tasks &&
         std::adjacent_find(set.begin(), set.end(), std::greater_equal<>()) == set.end();
}

constexpr std::size_t absent = std::numeric_limits<std::size_t>::max();

std::size_t position(const std::vector<int>& ascending, int value) {
  const auto at = std::lower_bound(ascending.begin(), ascending.end(), value);
  if (at == ascending.end() || *at != value) return absent;
  return static_cast<std::size_t>(at - ascending.begin());
}

}  // namespace

CachedOracle::CachedOracle(LossOracle& inner, FoldSplit folds, RaceRule rule)
    : inner_(&inner),
      n_folds_(inner.n_folds()),
      chosen_(static_cast<std::size_t>(n_folds_), folds.choose.empty() ? 1 : 0),
      weights_(std::move(folds.weights)),
      rule_(rule),
      completed_(static_cast<std::size_t>(inner.n_tasks())) {
  for (const int fold : folds.choose) {
    if (fold < 0 || fold >= n_folds_)
      throw UsageError({fmt::format("fold {} is chosen, but there are {} folds", fold, n_folds_),
                        "folds count from 0", "choose folds that exist"});
    chosen_[static_cast<std::size_t>(fold)] = 1;
  }
  const auto n = static_cast<std::size_t>(n_tasks()) * static_cast<std::size_t>(n_folds_);
  if (weights_.empty()) weights_.assign(n, 1.0);
  D2C_EXPECTS(weights_.size() == n);
  for (int task = 0; task < n_tasks(); ++task) {
    const std::vector<double> zeros(static_cast<std::size_t>(n_folds_));
    if (!std::isfinite(reduce(task, zeros.data(), Folds::chosen)))
      throw UsageError({fmt::format("task {} has no example in the chosen folds", task),
                        "the search could not see the task", "use fewer folds or more examples"});
  }
  for (int task = 0; rule_.is_on() && task < n_tasks(); ++task) {
    std::vector<int> of_task;
    for (int fold = 0; fold < n_folds_; ++fold) {
      const auto f = static_cast<std::size_t>(fold);
      if (chosen_[f] != 0 && weights_[static_cast<std::size_t>(task) * chosen_.size() + f] > 0)
        of_task.push_back(fold);
    }
    std::vector<int>& shuffled = race_folds_.emplace_back();
    for (const int i : race_order(static_cast<int>(of_task.size()), task, rule_.seed))
      shuffled.push_back(of_task[static_cast<std::size_t>(i)]);
  }
}

std::vector<double> CachedOracle::losses(std::span<const TaskSet> sets,
                                         std::span<const Query> queries) {
  return read(sets, queries, Folds::chosen);
}

std::vector<double> CachedOracle::verify_losses(std::span<const TaskSet> sets,
                                                std::span<const Query> queries) {
  return read(sets, queries, Folds::others);
}

std::vector<double> CachedOracle::own_losses() {
  std::vector<TaskSet> sets;
  std::vector<Query> queries;
  for (int task = 0; task < n_tasks(); ++task) {
    sets.push_back({task});
    queries.push_back({task, task});
  }
  return losses(sets, queries);
}

std::vector<double> CachedOracle::mean_of_chosen(std::span<const double> losses) const {
  return means(losses, Folds::chosen);
}

std::vector<double> CachedOracle::mean_of_others(std::span<const double> losses) const {
  return means(losses, Folds::others);
}

std::vector<double> CachedOracle::means(std::span<const double> losses, Folds folds) const {
  D2C_EXPECTS(losses.size() == weights_.size());
  std::vector<double> result(losses.size() / chosen_.size());
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = reduce(static_cast<int>(i), &losses[i * chosen_.size()], folds);
  return result;
}

CachedOracle::Place CachedOracle::find(const TaskSet& set, int task) const {
  const auto found = rows_.find(set);
  if (found == rows_.end()) return {nullptr, 0};
  const Row& row = found->second;
  const std::size_t at = position(row.tasks, task);
  if (at == absent) return {nullptr, 0};
  return {&row.losses[at * chosen_.size()], row.asked[at]};
}

std::optional<double> CachedOracle::known(const TaskSet& set, int task) const {
  const Place place = find(set, task);
  if (place.losses == nullptr || place.asked < n_folds_) return std::nullopt;
  return reduce(task, place.losses, Folds::chosen);
}

std::vector<CachedOracle::Entry> CachedOracle::save() const {
  std::vector<Entry> entries;
  for (const auto& [set, row] : rows_) entries.push_back({set, row.tasks, row.losses});
  return entries;
}

void CachedOracle::restore(std::span<const Entry> entries) {
  const auto is_usable = [this](double loss) {
    return std::isfinite(loss) || (rule_.is_on() && std::isnan(loss));
  };
  for (const Entry& entry : entries)
    if (!is_task_set(entry.set, n_tasks()) || !is_task_set(entry.tasks, n_tasks()) ||
        entry.losses.size() != entry.tasks.size() * chosen_.size() ||
        !std::ranges::all_of(entry.losses, is_usable))
      throw InputError(
          {.file = {}, .item = fmt::format("saved losses of tasks {}", fmt::join(entry.set, " "))},
          {fmt::format("do not fit {} tasks with {} folds", n_tasks(), n_folds_),
           "a search cannot be continued from them", "start without the saved losses"});
  keep(entries);
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
      if (is_old && is_new) {
        double* losses = &*(merged.losses.end() - static_cast<std::ptrdiff_t>(n));
        for (std::size_t fold = 0; fold < n; ++fold)
          if (std::isnan(losses[fold])) losses[fold] = entry.losses[j * n + fold];
      }
      i += is_old ? 1 : 0;
      j += is_new ? 1 : 0;
    }
    row = std::move(merged);
  }
}

bool CachedOracle::knows_all(const double* fold_losses) const {
  return std::none_of(fold_losses, fold_losses + n_folds_,
                      [](double loss) { return std::isnan(loss); });
}

std::vector<double> CachedOracle::read(std::span<const TaskSet> sets,
                                       std::span<const Query> queries, Folds folds) {
  fetch(sets, queries);
  std::vector<const Row*> row(sets.size());
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const auto found = rows_.find(sets[i]);
    row[i] = found == rows_.end() ? nullptr : &found->second;
  }
  std::vector<double> values;
  values.reserve(queries.size());
  for (const Query& query : queries) {
    const Row& from = *row[static_cast<std::size_t>(query.set)];
    const std::size_t at = position(from.tasks, query.task);
    values.push_back(reduce(query.task, &from.losses[at * chosen_.size()], folds));
  }
  return values;
}

void CachedOracle::fetch(std::span<const TaskSet> sets, std::span<const Query> queries) {
  // Sets of equal content share the index of the first of them.
  std::map<TaskSet, int> first;
  std::vector<int> representative;
  std::vector<Row*> row;
  for (const TaskSet& set : sets) {
    D2C_EXPECTS(is_task_set(set, n_tasks()));
    representative.push_back(
        first.try_emplace(set, static_cast<int>(representative.size())).first->second);
    const auto found = rows_.find(set);
    row.push_back(found == rows_.end() ? nullptr : &found->second);
  }
  std::vector<Missing> missing;
  std::int64_t answered = 0;
  for (const Query& query : queries) {
    D2C_EXPECTS(query.set >= 0 && query.set < static_cast<int>(sets.size()));
    D2C_EXPECTS(query.task >= 0 && query.task < n_tasks());
    Row* known = row[static_cast<std::size_t>(query.set)];
    const std::size_t at = known ? position(known->tasks, query.task) : absent;
    const int asked = at == absent ? 0 : known->asked[at];
    if (asked == n_folds_) continue;
    const bool is_known = at != absent && knows_all(&known->losses[at * chosen_.size()]);
    if (!is_known) {
      missing.push_back({representative[static_cast<std::size_t>(query.set)], query.task, asked});
      continue;
    }
    known->asked[at] = n_folds_;
    ++answered;
    counts_.replayed += asked == 0 ? 1 : 0;
    ++(asked == 0 ? counts_.evaluations : race_counts_.completed);
  }
  std::sort(missing.begin(), missing.end(), [](const Missing& a, const Missing& b) {
    return std::tie(a.set, a.task) < std::tie(b.set, b.task);
  });
  missing.erase(std::unique(missing.begin(), missing.end(),
                            [](const Missing& a, const Missing& b) {
                              return a.set == b.set && a.task == b.task;
                            }),
                missing.end());
  if (!missing.empty()) measure(sets, missing);
  for (const Missing& entry : missing) {
    ++answered;
    ++(entry.asked == 0 ? counts_.evaluations : race_counts_.completed);
    completed_[static_cast<std::size_t>(entry.task)] += entry.asked == 0 ? 0 : 1;
  }
  counts_.cached += static_cast<std::int64_t>(queries.size()) - answered;
}

void CachedOracle::refuse_unless_finite(double loss, const TaskSet& set, int task) {
  if (std::isfinite(loss)) return;
  throw InputError({.file = {},
                    .item = fmt::format("loss of task {} under the merge of tasks {}", task,
                                        fmt::join(set, " "))},
                   {fmt::format("is {}", loss), "clusters cannot be compared by it",
                    "check the values of these adapters"});
}

void CachedOracle::measure(std::span<const TaskSet> sets, std::span<const Missing> missing) {
  std::vector<TaskSet> asked_sets;
  std::vector<Query> asked;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (i == 0 || missing[i].set != missing[i - 1].set)
      asked_sets.push_back(sets[static_cast<std::size_t>(missing[i].set)]);
    asked.push_back({static_cast<int>(asked_sets.size()) - 1, missing[i].task});
  }
  const std::vector<double> values = inner_->losses(asked_sets, asked);
  D2C_EXPECTS(values.size() == asked.size() * chosen_.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Query& query = asked[i / chosen_.size()];
    refuse_unless_finite(values[i], asked_sets[static_cast<std::size_t>(query.set)], query.task);
  }
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (i == 0 || asked[i].set != asked[i - 1].set)
      entries.push_back({asked_sets[static_cast<std::size_t>(asked[i].set)], {}, {}});
    entries.back().tasks.push_back(asked[i].task);
    const double* from = &values[i * chosen_.size()];
    entries.back().losses.insert(entries.back().losses.end(), from, from + chosen_.size());
  }
  keep(entries);
  for (const Entry& entry : entries) {
    Row& row = rows_[entry.set];
    for (const int task : entry.tasks) row.asked[position(row.tasks, task)] = n_folds_;
  }
}

double CachedOracle::reduce(int task, const double* fold_losses, Folds folds) const {
  double sum = 0;
  double total = 0;
  int n_used = 0;
  double last = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t fold = 0; fold < chosen_.size(); ++fold) {
    if ((chosen_[fold] != 0) != (folds == Folds::chosen)) continue;
    const double weight = weights_[static_cast<std::size_t>(task) * chosen_.size() + fold];
    if (!(weight > 0)) continue;
    sum += weight * fold_losses[fold];
    total += weight;
    last = fold_losses[fold];
    ++n_used;
  }
  // The mean of one value is that value, to the last bit.
  return n_used > 1 ? sum / total : last;
}

}  // namespace d2c::cluster
