#include "losses/gains.hpp"

#include <cmath>
#include <limits>
#include <utility>

namespace d2c::job {

Comparison compare(const results::Baselines& baselines, const std::vector<double>& loss) {
  const auto n_tasks = static_cast<int>(loss.size());
  const cluster::Objective gains(cluster::ObjectiveKind::gain, n_tasks, {},
                                 {baselines.at("base"), baselines.at("own")});
  Comparison result;
  for (const TaskId task : ids<TaskId>(n_tasks)) {
    result.gain.push_back(gains.gain(task, loss[task.index()]));
    result.regret.push_back(loss[task.index()] - baselines.at("own")[task.index()]);
  }
  return result;
}

double mean_gain(const std::vector<double>& weights, const results::Baselines& baselines,
                 const std::vector<double>& loss) {
  const std::vector<double> gain = compare(baselines, loss).gain;
  double sum = 0.0;
  double total = 0.0;
  for (std::size_t t = 0; t < gain.size(); ++t) {
    if (!std::isfinite(gain[t])) continue;
    sum += weights[t] * gain[t];
    total += weights[t];
  }
  return total > 0 ? sum / total : std::numeric_limits<double>::quiet_NaN();
}

double objective_of(cluster::ObjectiveKind kind, const std::vector<double>& weights,
                    const results::Baselines& baselines, const std::vector<double>& loss) {
  std::vector<double> known;
  std::vector<double> weight;
  cluster::References references;
  for (std::size_t t = 0; t < loss.size(); ++t) {
    if (std::isnan(loss[t])) continue;
    known.push_back(loss[t]);
    weight.push_back(weights[t]);
    references.base.push_back(baselines.at("base")[t]);
    references.own.push_back(baselines.at("own")[t]);
  }
  if (known.empty()) return std::numeric_limits<double>::quiet_NaN();
  const cluster::Objective objective(kind, static_cast<int>(known.size()), weight, references);
  return objective.score(known).value;
}

results::Unseen unseen(cluster::ObjectiveKind kind, const std::vector<double>& weights,
                       const cluster::Partition& partition, const cluster::LossMatrix& loss,
                       results::Baselines baselines) {
  const std::vector<double> own_cluster = loss.of(partition);
  results::Unseen figures;
  figures.loss = loss.values;
  figures.objective = objective_of(kind, weights, baselines, own_cluster);
  Comparison comparison = compare(baselines, own_cluster);
  figures.gain = std::move(comparison.gain);
  figures.regret = std::move(comparison.regret);
  figures.baselines = std::move(baselines);
  return figures;
}

}  // namespace d2c::job
