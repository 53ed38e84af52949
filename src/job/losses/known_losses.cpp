#include "losses/known_losses.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "d2c/core/error.hpp"

namespace d2c::job {
std::span<const double> KnownLosses::find(const results::LossKey& key, TaskId task) const {
  const auto place = table_.find(key);
  if (place == table_.end()) return {};
  const auto& [tasks, losses] = place->second;
  const auto at = std::ranges::lower_bound(tasks, task);
  if (at == tasks.end() || *at != task) return {};
  const std::size_t n_folds = losses.size() / tasks.size();
  return std::span(losses).subspan(static_cast<std::size_t>(at - tasks.begin()) * n_folds, n_folds);
}

std::vector<cluster::Query> KnownLosses::missing(std::span<const results::LossKey> keys,
                                                 std::span<const cluster::Query> queries) const {
  std::map<results::LossKey, std::size_t> first;
  std::vector<std::size_t> representative;
  for (const results::LossKey& key : keys) {
    representative.push_back(first.try_emplace(key, representative.size()).first->second);
  }
  std::set<std::pair<std::size_t, TaskId>> seen;
  std::vector<cluster::Query> missing;
  for (const cluster::Query& query : queries) {
    if (!find(keys[query.set], query.task).empty()) continue;
    const std::size_t set = representative[query.set];
    if (seen.emplace(set, query.task).second) missing.push_back({set, query.task});
  }
  return missing;
}

std::vector<double> KnownLosses::read(std::span<const results::LossKey> keys,
                                      std::span<const cluster::Query> queries,
                                      std::size_t n_folds) const {
  std::vector<double> values(queries.size() * n_folds, std::numeric_limits<double>::quiet_NaN());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const auto losses = find(keys[queries[q].set], queries[q].task);
    std::ranges::copy(losses, values.begin() + static_cast<std::ptrdiff_t>(q * n_folds));
  }
  return values;
}

void KnownLosses::add(const results::LossKey& key, TaskId task, std::span<const double> losses) {
  auto& [tasks, all] = table_[key];
  D2C_EXPECTS(tasks.empty() || all.size() == tasks.size() * losses.size());
  const auto at = std::ranges::lower_bound(tasks, task);
  D2C_EXPECTS(at == tasks.end() || *at != task);
  all.insert(all.begin() + (at - tasks.begin()) * std::ssize(losses), losses.begin(), losses.end());
  tasks.insert(at, task);
}

}  // namespace d2c::job
