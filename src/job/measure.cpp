#include "measure.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "d2c/cluster/objective.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::job {
namespace {

using Losses = std::vector<double>;

/// A partition that knows nothing: every task in a cluster drawn at random.
cluster::Partition random_partition(int n_tasks, int k, std::uint64_t seed) {
  CounterRng rng(seed, hash_name("baseline/random"));
  cluster::Assignment assignment(static_cast<std::size_t>(n_tasks));
  for (int& cluster : assignment)
    cluster = static_cast<int>(rng.below(static_cast<std::uint64_t>(k)));
  return {assignment, k};
}

}  // namespace

std::vector<double> task_weights(const eval::Manifest& manifest) {
  std::vector<double> weights;
  weights.reserve(manifest.tasks.size());
  for (const eval::TaskSpec& task : manifest.tasks) weights.push_back(task.weight);
  return weights;
}

std::vector<std::int64_t> examples_per_task(const TaskStore& tasks, Split split) {
  std::vector<std::int64_t> counts;
  counts.reserve(static_cast<std::size_t>(tasks.n_tasks()));
  for (int task = 0; task < tasks.n_tasks(); ++task) {
    counts.push_back(tasks.facts(task, split).n_examples);
  }
  return counts;
}

std::vector<double> losses_of(DistributedOracle& oracle, const cluster::Partition& partition,
                              Split split) {
  std::vector<cluster::TaskSet> sets;
  std::vector<int> set_of_cluster;
  for (auto& members : partition.clusters()) {
    set_of_cluster.push_back(static_cast<int>(sets.size()));
    if (!members.empty()) sets.push_back(std::move(members));
  }
  std::vector<cluster::Query> queries;
  queries.reserve(static_cast<std::size_t>(partition.n_tasks()));
  for (int task = 0; task < partition.n_tasks(); ++task) {
    queries.push_back({set_of_cluster[static_cast<std::size_t>(partition[task])], task});
  }
  return oracle.losses(sets, queries, split);
}

std::vector<double> losses_of(DistributedOracle& oracle,
                              const std::vector<cluster::Recipe>& recipes, Split split) {
  const std::vector<MergeRequest> requests = oracle.requests_for(recipes);
  std::vector<cluster::Query> queries;
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    for (const int task : recipes[r].members) queries.push_back({static_cast<int>(r), task});
  }
  const auto folds = split == Split::few_shot ? oracle.folds() : cluster::ExampleFolds{};
  const std::vector<double> losses = oracle.losses(requests, queries, split, folds);
  const auto n = static_cast<std::size_t>(folds.n_folds());
  std::vector<double> by_task(losses.size());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (std::size_t fold = 0; fold < n; ++fold) {
      by_task[static_cast<std::size_t>(queries[q].task) * n + fold] = losses[q * n + fold];
    }
  }
  return by_task;
}

MeasuredBaselines measure_baselines(DistributedOracle& oracle, Split split, Checkpointing& kept) {
  const cluster::Partition one(cluster::Assignment(static_cast<std::size_t>(oracle.n_tasks()), 0),
                               1);
  const std::string prefix = split == Split::few_shot ? "few_shot_" : "held_out_";
  MeasuredBaselines measured;
  measured["base"] = kept.baseline(prefix + "base", [&] { return oracle.base_losses(split); });
  measured["own"] = kept.baseline(prefix + "own", [&] { return oracle.own_losses(split); });
  measured["one"] =
      oracle.can_merge(one.clusters().front())
          ? kept.baseline(prefix + "one", [&] { return losses_of(oracle, one, split); })
          : Losses(measured["base"].size(), std::numeric_limits<double>::quiet_NaN());
  return measured;
}

std::vector<double> measure_random(DistributedOracle& oracle, int k, std::uint64_t seed,
                                   Split split) {
  return losses_of(oracle, random_partition(oracle.n_tasks(), k, seed), split);
}

results::Baselines chosen_part(const MeasuredBaselines& measured,
                               const cluster::CachedOracle& cache) {
  results::Baselines part;
  for (const auto& [name, losses] : measured) part[name] = cache.mean_of_chosen(losses);
  return part;
}

results::Baselines verify_part(const MeasuredBaselines& measured,
                               const cluster::CachedOracle& cache) {
  results::Baselines part;
  for (const auto& [name, losses] : measured) part[name] = cache.mean_of_others(losses);
  return part;
}

Comparison compare(const results::Baselines& baselines, const std::vector<double>& loss) {
  const int n_tasks = static_cast<int>(loss.size());
  const cluster::Objective gains(cluster::ObjectiveKind::gain, n_tasks, {},
                                 {baselines.at("base"), baselines.at("own")});
  Comparison result;
  for (int task = 0; task < n_tasks; ++task) {
    const auto t = static_cast<std::size_t>(task);
    result.gain.push_back(gains.gain(task, loss[t]));
    result.regret.push_back(loss[t] - baselines.at("own")[t]);
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

cluster::LossMatrix held_out_matrix(DistributedOracle& oracle,
                                    const cluster::Partition& partition) {
  std::vector<cluster::TaskSet> sets;
  std::vector<cluster::Query> queries;
  std::vector<int> cluster_of_query;
  const auto clusters = partition.clusters();
  for (int k = 0; k < partition.k(); ++k) {
    const cluster::TaskSet& members = clusters[static_cast<std::size_t>(k)];
    if (members.empty()) continue;
    for (int task = 0; task < partition.n_tasks(); ++task) {
      queries.push_back({static_cast<int>(sets.size()), task});
      cluster_of_query.push_back(k);
    }
    sets.push_back(members);
  }
  cluster::LossMatrix matrix(partition.n_tasks(), partition.k());
  const Losses values = oracle.losses(sets, queries, Split::held_out);
  for (std::size_t q = 0; q < values.size(); ++q) {
    matrix(queries[q].task, cluster_of_query[q]) = values[q];
  }
  return matrix;
}

results::Unseen unseen(const RunOptions& options, const std::vector<double>& weights,
                       const cluster::Partition& partition, const cluster::LossMatrix& loss,
                       results::Baselines baselines) {
  const Losses own_cluster = loss.of(partition);
  results::Unseen figures;
  figures.loss = loss.values;
  figures.objective = objective_of(options.objective, weights, baselines, own_cluster);
  Comparison comparison = compare(baselines, own_cluster);
  figures.gain = std::move(comparison.gain);
  figures.regret = std::move(comparison.regret);
  figures.baselines = std::move(baselines);
  return figures;
}

}  // namespace d2c::job
