#include "refine/config_losses.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "d2c/core/error.hpp"

namespace d2c::cluster {

ConfigLosses::ConfigLosses(MergeConfigOracle& oracle, const FoldSplit& folds,
                           const Objective& objective)
    : oracle_(oracle), objective_(objective), examples_(folds.weights), choose_(folds.choose) {
  D2C_EXPECTS(examples_.n_rows == objective.n_tasks() && !choose_.empty());
  D2C_EXPECTS(examples_.n_columns == oracle.n_folds());
  for (const FoldId fold : examples_.columns())
    if (std::find(choose_.begin(), choose_.end(), fold) == choose_.end()) others_.push_back(fold);
}

void ConfigLosses::measure(std::span<const MergeConfig> configs, std::span<const Query> queries) {
  std::vector<MergeConfig> asked_configs;
  constexpr auto absent = static_cast<std::size_t>(-1);
  std::vector<std::size_t> place(configs.size(), absent);
  std::vector<Query> asked;
  for (const Query& query : queries) {
    const MergeConfig& config = configs[query.set];
    // An empty row marks what is on its way.
    if (!known_[config].try_emplace(query.task).second) continue;
    if (place[query.set] == absent) {
      place[query.set] = asked_configs.size();
      asked_configs.push_back(config);
    }
    asked.push_back({place[query.set], query.task});
  }
  if (asked.empty()) return;
  const auto n_folds = static_cast<std::size_t>(examples_.n_columns);
  const std::vector<double> values = oracle_.losses(asked_configs, asked);
  D2C_EXPECTS(values.size() == asked.size() * n_folds);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Query& query = asked[i / n_folds];
    known_.at(asked_configs[query.set]).at(query.task).push_back(values[i]);
  }
  measured_ += static_cast<std::int64_t>(asked.size());
}

void ConfigLosses::measure_members(std::span<const MergeConfig> configs) {
  std::vector<Query> queries;
  for (std::size_t i = 0; i < configs.size(); ++i)
    for (const TaskId task : configs[i].members) queries.push_back({i, task});
  measure(configs, queries);
}

double ConfigLosses::mean(const Losses& losses, TaskId task, const FoldSet& folds) const {
  const IdVector<FoldId, double>& of_task = losses.at(task);
  double loss = 0;
  double examples = 0;
  for (const FoldId fold : folds) {
    const double n = examples_(task, fold);
    loss += n * of_task[fold];
    examples += n;
  }
  return examples > 0 ? loss / examples : std::numeric_limits<double>::quiet_NaN();
}

double ConfigLosses::cost(const MergeConfig& config, TaskId task, const FoldSet& folds) const {
  const double loss = mean(known_.at(config), task, folds);
  return std::isnan(loss) ? 0 : objective_.weight(task) * objective_.cost(task, loss);
}

Score ConfigLosses::score(std::span<const MergeConfig> configs, const FoldSet& folds) const {
  double sum = 0;
  double total = 0;
  double worst = -std::numeric_limits<double>::infinity();
  for (const MergeConfig& config : configs) {
    const Losses& losses = known_.at(config);
    for (const TaskId task : config.members) {
      const double loss = mean(losses, task, folds);
      if (std::isnan(loss) || objective_.weight(task) == 0) continue;
      const double cost = objective_.cost(task, loss);
      sum += objective_.weight(task) * cost;
      total += objective_.weight(task);
      worst = std::max(worst, cost);
    }
  }
  if (!(total > 0)) return {0, 0};
  if (objective_.kind() == ObjectiveKind::worst) return {worst, sum / total};
  return {sum / total, 0};
}

}  // namespace d2c::cluster
