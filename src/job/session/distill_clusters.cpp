#include "session/distill_clusters.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "distill/distill.hpp"

namespace d2c::job {
namespace {

/// How fast the objective rises with the loss of each member; sum 1.
std::vector<double> loss_weights(const cluster::Objective& objective,
                                 const cluster::TaskSet& members) {
  std::vector<double> weights;
  for (const TaskId task : members) weights.push_back(objective.excess(task, 1.0, 0.0));
  double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (sum == 0.0) {
    // Tasks that nobody counts are learnt alike.
    std::ranges::fill(weights, 1.0);
    sum = static_cast<double>(weights.size());
  }
  for (double& weight : weights) weight /= sum;
  return weights;
}

/// The part of the objective that members have.
cluster::Score part_of(const cluster::Objective& objective, const cluster::TaskSet& members,
                       const std::vector<double>& loss) {
  double sum = 0.0;
  double largest = -std::numeric_limits<double>::infinity();
  for (const TaskId task : members) {
    if (objective.weight(task) == 0) continue;
    const double cost = objective.cost(task, loss[task.index()]);
    sum += objective.weight(task) * cost;
    largest = std::max(largest, cost);
  }
  return objective.kind() == cluster::ObjectiveKind::worst ? cluster::Score{largest, sum}
                                                           : cluster::Score{sum, 0};
}

}  // namespace

Distillation distill_clusters(MethodLosses& losses, const std::vector<MergeConfig>& start,
                              const std::function<bool()>& stop) {
  DistributedOracle& oracle = losses.oracle();
  const cluster::Objective& objective = losses.objective();
  const std::vector<MergeRequest> requests = oracle.requests_for(start);
  std::vector<DistillCluster> clusters;
  for (std::size_t c = 0; c < start.size(); ++c) {
    clusters.push_back({requests[c], start[c].members, loss_weights(objective, start[c].members)});
  }
  const RunOptions& options = losses.options();
  const Spending most = spending(options, objective.n_tasks());
  const MaterialOptions material{options.refine_batch, most.variants, most.steps};
  Distilled distilled = oracle.distill(
      clusters, {.rate = options.refine_rate, .material = material, .folds = oracle.folds()}, stop);
  Distillation result{.configs = start, .curves = std::move(distilled.loss)};
  std::vector<MergeConfig> trained = start;
  const IdVector<TaskId, std::int64_t> n_examples = losses.examples_per_task();
  double evaluations = 0.0;
  for (std::size_t c = 0; c < start.size(); ++c) {
    trained[c].trained = oracle.keep(std::move(distilled.adapters[c]));
    const auto n_steps = static_cast<int>(std::ssize(result.curves[c]));
    for (const TaskId task : start[c].members) {
      const std::int64_t n_learnt = oracle.folds().n_seen(n_examples[task]);
      // Then the task is measured.
      evaluations += learning_cost(n_learnt, material, n_steps) + 1.0;
    }
  }
  result.evaluations = std::llround(evaluations);
  const PartLosses before = losses.on_few_shot(start);
  const PartLosses after = losses.on_few_shot(trained);
  for (std::size_t c = 0; c < start.size(); ++c) {
    const cluster::TaskSet& members = start[c].members;
    const auto is_worse = [&](const std::vector<double>& was, const std::vector<double>& is) {
      return !is.empty() && part_of(objective, members, was) < part_of(objective, members, is);
    };
    if (is_worse(before.chosen, after.chosen) || is_worse(before.kept, after.kept)) continue;
    result.configs[c] = trained[c];
    ++result.changed;
    for (const TaskId task : members) {
      const std::size_t t = task.index();
      const bool loses = after.chosen[t] > before.chosen[t] ||
                         (!after.kept.empty() && after.kept[t] > before.kept[t]);
      if (loses) result.losers.push_back(task);
    }
  }
  std::ranges::sort(result.losers);
  return result;
}

}  // namespace d2c::job
