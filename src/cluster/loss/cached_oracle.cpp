#include "d2c/cluster/cached_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"

#include "loss/loss_cache.hpp"

namespace d2c::cluster {
namespace {

using Folds = LossCache::Folds;

bool is_task_set(const TaskSet& set, int n_tasks) {
  return !set.empty() && set.front() >= 0 && set.back().value() < n_tasks &&
         std::adjacent_find(set.begin(), set.end(), std::greater_equal<>()) == set.end();
}

/// @param missing  ascending
void measure(LossCache& cache, std::span<const TaskSet> sets, std::span<const Query> missing) {
  std::vector<TaskSet> asked_sets;
  std::vector<Query> asked;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const Query& query = missing[i];
    if (i == 0 || query.set != missing[i - 1].set) asked_sets.push_back(sets[query.set]);
    asked.push_back({asked_sets.size() - 1, query.task});
  }
  const std::size_t n_folds = cache.n_folds();
  const std::vector<double> values = cache.inner.losses(asked_sets, asked);
  D2C_EXPECTS(values.size() == asked.size() * n_folds);
  std::vector<CachedOracle::Entry> entries;
  entries.reserve(asked_sets.size());
  for (const TaskSet& set : asked_sets) entries.push_back({set, {}, {}});
  for (std::size_t i = 0; i < asked.size(); ++i) {
    CachedOracle::Entry& entry = entries[asked[i].set];
    entry.tasks.push_back(asked[i].task);
    for (const double loss : std::span(values).subspan(i * n_folds, n_folds)) {
      refuse_unless_finite(loss, entry.set, asked[i].task);
      entry.losses.push_back(loss);
    }
  }
  cache.keep(entries);
  for (const auto& [set, task] : asked) cache.ask(asked_sets[set], task);
}

std::vector<const LossCache::Row*> rows_of(const LossCache& cache, std::span<const TaskSet> sets) {
  std::vector<const LossCache::Row*> rows;
  for (const TaskSet& set : sets) rows.push_back(cache.row_of(set));
  return rows;
}

/// Measures what is missing, in one call of the inner oracle.
void fetch(LossCache& cache, std::span<const TaskSet> sets, std::span<const Query> queries) {
  // Sets of equal content share the index of the first of them.
  std::map<TaskSet, std::size_t> first;
  std::vector<std::size_t> representative;
  for (const TaskSet& set : sets) {
    D2C_EXPECTS(is_task_set(set, cache.weights.n_rows));
    representative.push_back(first.try_emplace(set, representative.size()).first->second);
  }
  const auto rows = rows_of(cache, sets);
  std::vector<Query> missing;
  std::int64_t replayed = 0;
  for (const auto& [set, task] : queries) {
    D2C_EXPECTS(set < sets.size() && task >= 0 && task.value() < cache.weights.n_rows);
    const auto [losses, asked] = cache.find(rows[set], task);
    if (asked) continue;
    if (losses == nullptr) {
      missing.push_back({representative[set], task});
      continue;
    }
    cache.ask(sets[set], task);
    ++replayed;
  }
  std::ranges::sort(missing);
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  if (!missing.empty()) measure(cache, sets, missing);
  const std::int64_t answered = replayed + std::ssize(missing);
  cache.counts.evaluations += answered;
  cache.counts.replayed += replayed;
  cache.counts.cached += std::ssize(queries) - answered;
}

std::vector<double> read(LossCache& cache, std::span<const TaskSet> sets,
                         std::span<const Query> queries, Folds folds) {
  fetch(cache, sets, queries);
  const auto rows = rows_of(cache, sets);
  std::vector<double> values;
  values.reserve(queries.size());
  for (const auto& [set, task] : queries)
    values.push_back(cache.mean(task, cache.find(rows[set], task).losses, folds));
  return values;
}

}  // namespace

CachedOracle::CachedOracle(LossOracle& inner, FoldSplit folds)
    : cache_(std::make_unique<LossCache>(inner, std::move(folds))) {}
CachedOracle::~CachedOracle() = default;

int CachedOracle::n_tasks() const { return cache_->weights.n_rows; }
int CachedOracle::n_folds() const { return cache_->weights.n_columns; }
const CachedOracle::Counts& CachedOracle::counts() const { return cache_->counts; }

std::vector<double> CachedOracle::losses(std::span<const TaskSet> sets,
                                         std::span<const Query> queries) {
  return read(*cache_, sets, queries, Folds::chosen);
}

std::vector<double> CachedOracle::verify_losses(std::span<const TaskSet> sets,
                                                std::span<const Query> queries) {
  return read(*cache_, sets, queries, Folds::others);
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

IdVector<TaskId, double> CachedOracle::mean_of_chosen(std::span<const double> losses) const {
  return cache_->means(losses, Folds::chosen);
}

IdVector<TaskId, double> CachedOracle::mean_of_others(std::span<const double> losses) const {
  return cache_->means(losses, Folds::others);
}

std::optional<double> CachedOracle::known(const TaskSet& set, TaskId task) const {
  const auto [losses, asked] = cache_->find(set, task);
  if (!asked) return std::nullopt;
  return cache_->mean(task, losses, Folds::chosen);
}

std::vector<CachedOracle::Entry> CachedOracle::save() const {
  std::vector<Entry> entries;
  for (const auto& [set, row] : cache_->rows) entries.push_back({set, row.tasks, row.losses});
  return entries;
}

void CachedOracle::restore(std::span<const Entry> entries) {
  for (const Entry& entry : entries)
    if (!is_task_set(entry.set, n_tasks()) || !is_task_set(entry.tasks, n_tasks()) ||
        entry.losses.size() != entry.tasks.size() * cache_->n_folds() ||
        !std::ranges::all_of(entry.losses, [](double loss) { return std::isfinite(loss); }))
      throw InputError(
          {.file = {}, .item = fmt::format("saved losses of tasks {}", fmt::join(entry.set, " "))},
          {fmt::format("do not fit {} tasks with {} folds", n_tasks(), n_folds()),
           "a search cannot be continued from them", "start without the saved losses"});
  cache_->keep(entries);
}

}  // namespace d2c::cluster
