#include "d2c/cluster/cached_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

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

/// An entry that has to be measured.
struct Missing {
  Query query;
  bool is_new;  ///< else a race began it
  friend bool operator<(const Missing& a, const Missing& b) {
    return std::tie(a.query.set, a.query.task) < std::tie(b.query.set, b.query.task);
  }
};

void measure(LossCache& cache, std::span<const TaskSet> sets, std::span<const Missing> missing) {
  std::vector<TaskSet> asked_sets;
  std::vector<Query> asked;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const Query& query = missing[i].query;
    if (i == 0 || query.set != missing[i - 1].query.set) asked_sets.push_back(sets[query.set]);
    asked.push_back({asked_sets.size() - 1, query.task});
  }
  const std::size_t n_folds = cache.n_folds();
  const std::vector<double> values = cache.inner.losses(asked_sets, asked);
  D2C_EXPECTS(values.size() == asked.size() * n_folds);
  std::vector<CachedOracle::Entry> entries;
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
  for (const Query& query : asked)
    cache.ask(asked_sets[query.set], query.task, static_cast<int>(n_folds));
}

std::vector<const LossCache::Row*> rows_of(const LossCache& cache, std::span<const TaskSet> sets) {
  std::vector<const LossCache::Row*> rows;
  for (const TaskSet& set : sets) rows.push_back(cache.row_of(set));
  return rows;
}

/// Measures what is missing, in one call of the inner oracle.
void fetch(LossCache& cache, std::span<const TaskSet> sets, std::span<const Query> queries) {
  const int n_tasks = cache.weights.n_rows;
  const int all = cache.chosen.n();
  // Sets of equal content share the index of the first of them.
  std::map<TaskSet, std::size_t> first;
  std::vector<std::size_t> representative;
  for (const TaskSet& set : sets) {
    D2C_EXPECTS(is_task_set(set, n_tasks));
    representative.push_back(first.try_emplace(set, representative.size()).first->second);
  }
  const auto rows = rows_of(cache, sets);
  std::vector<Missing> missing;
  std::int64_t answered = 0;
  const auto count = [&](bool is_new) {
    ++answered;
    ++(is_new ? cache.counts.evaluations : cache.race_counts.completed);
  };
  for (const auto& [set, task] : queries) {
    D2C_EXPECTS(set < sets.size() && task >= 0 && task.value() < n_tasks);
    const auto [losses, asked] = cache.find(rows[set], task);
    if (asked == all) continue;
    if (losses == nullptr || !cache.knows_all(losses)) {
      missing.push_back({{representative[set], task}, asked == 0});
      continue;
    }
    cache.ask(sets[set], task, all);
    count(asked == 0);
    cache.counts.replayed += asked == 0 ? 1 : 0;
  }
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end(),
                            [](const Missing& a, const Missing& b) { return !(a < b); }),
                missing.end());
  if (!missing.empty()) measure(cache, sets, missing);
  for (const auto& [query, is_new] : missing) {
    count(is_new);
    cache.completed[query.task] += is_new ? 0 : 1;
  }
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

CachedOracle::CachedOracle(LossOracle& inner, FoldSplit folds, RaceRule rule)
    : cache_(std::make_unique<LossCache>(inner, std::move(folds), rule)) {}
CachedOracle::~CachedOracle() = default;

int CachedOracle::n_tasks() const { return cache_->weights.n_rows; }
int CachedOracle::n_folds() const { return cache_->weights.n_columns; }
const CachedOracle::Counts& CachedOracle::counts() const { return cache_->counts; }
const RaceRule& CachedOracle::racing() const { return cache_->rule; }
const RaceCounts& CachedOracle::race_counts() const { return cache_->race_counts; }
const IdVector<TaskId, std::int64_t>& CachedOracle::completed() const { return cache_->completed; }

std::vector<double> CachedOracle::losses(std::span<const TaskSet> sets,
                                         std::span<const Query> queries) {
  return read(*cache_, sets, queries, Folds::chosen);
}

std::vector<double> CachedOracle::verify_losses(std::span<const TaskSet> sets,
                                                std::span<const Query> queries) {
  return read(*cache_, sets, queries, Folds::others);
}

std::vector<Contested> CachedOracle::contest(std::span<const TaskSet> sets,
                                             std::span<const Entrant> entrants) {
  if (cache_->rule.is_on()) return race_entrants(*cache_, sets, entrants);
  std::vector<Query> queries;
  for (const Entrant& entrant : entrants) queries.push_back({entrant.set, entrant.task});
  std::vector<Contested> result;
  for (const double loss : losses(sets, queries)) result.push_back({loss, true});
  return result;
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
  if (losses == nullptr || asked < n_folds()) return std::nullopt;
  return cache_->mean(task, losses, Folds::chosen);
}

std::vector<CachedOracle::Entry> CachedOracle::save() const {
  std::vector<Entry> entries;
  for (const auto& [set, row] : cache_->rows) entries.push_back({set, row.tasks, row.losses});
  return entries;
}

void CachedOracle::restore(std::span<const Entry> entries) {
  const auto is_usable = [this](double loss) {
    return std::isfinite(loss) || (cache_->rule.is_on() && std::isnan(loss));
  };
  for (const Entry& entry : entries)
    if (!is_task_set(entry.set, n_tasks()) || !is_task_set(entry.tasks, n_tasks()) ||
        entry.losses.size() != entry.tasks.size() * cache_->n_folds() ||
        !std::ranges::all_of(entry.losses, is_usable))
      throw InputError(
          {.file = {}, .item = fmt::format("saved losses of tasks {}", fmt::join(entry.set, " "))},
          {fmt::format("do not fit {} tasks with {} folds", n_tasks(), n_folds()),
           "a search cannot be continued from them", "start without the saved losses"});
  cache_->keep(entries);
}

}  // namespace d2c::cluster
