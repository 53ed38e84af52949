#include "measure.hpp"

#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "d2c/cluster/objective.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::driver {
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

/// Loss of every task under the merged adapter of its own cluster. [task]
Losses losses_of(DistributedOracle& oracle, const cluster::Partition& partition, Split split) {
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

/// Loss of every task under every cluster's merged adapter; NaN for empty clusters. [task, cluster]
Losses loss_matrix(DistributedOracle& oracle, const cluster::Partition& partition, Split split) {
  std::vector<cluster::TaskSet> sets;
  std::vector<cluster::Query> queries;
  std::vector<std::size_t> entry;
  const auto clusters = partition.clusters();
  for (std::size_t k = 0; k < clusters.size(); ++k) {
    if (clusters[k].empty()) continue;
    for (int task = 0; task < partition.n_tasks(); ++task) {
      queries.push_back({static_cast<int>(sets.size()), task});
      entry.push_back(static_cast<std::size_t>(task) * clusters.size() + k);
    }
    sets.push_back(clusters[k]);
  }
  Losses matrix(static_cast<std::size_t>(partition.n_tasks()) * clusters.size(),
                std::numeric_limits<double>::quiet_NaN());
  const Losses values = oracle.losses(sets, queries, split);
  for (std::size_t q = 0; q < values.size(); ++q) matrix[entry[q]] = values[q];
  return matrix;
}

Losses at_assignment(const Losses& matrix, const cluster::Partition& partition) {
  Losses losses;
  const auto k = static_cast<std::size_t>(partition.k());
  for (int task = 0; task < partition.n_tasks(); ++task) {
    losses.push_back(
        matrix[static_cast<std::size_t>(task) * k + static_cast<std::size_t>(partition[task])]);
  }
  return losses;
}

/// Weighted mean over the tasks whose loss is known.
double mean_known(const Losses& losses, std::span<const double> weights) {
  double sum = 0;
  double total = 0;
  for (std::size_t t = 0; t < losses.size(); ++t) {
    if (std::isnan(losses[t])) continue;
    sum += weights[t] * losses[t];
    total += weights[t];
  }
  return sum / total;
}

}  // namespace

std::vector<double> task_weights(const Manifest& manifest) {
  std::vector<double> weights;
  weights.reserve(manifest.tasks.size());
  for (const TaskSpec& task : manifest.tasks) weights.push_back(task.weight);
  return weights;
}

results::Baselines measure_baselines(DistributedOracle& oracle, const RunOptions& options,
                                     Split split) {
  const int n_tasks = oracle.n_tasks();
  const cluster::Partition one(cluster::Assignment(static_cast<std::size_t>(n_tasks), 0), 1);
  return {{"base", oracle.base_losses(split)},
          {"own", oracle.own_losses(split)},
          {"one", losses_of(oracle, one, split)},
          {"random", losses_of(oracle, random_partition(n_tasks, options.k, options.seed), split)}};
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

results::HeldOut measure_held_out(DistributedOracle& oracle, const RunOptions& options,
                                  const Job& job, const cluster::Partition& partition) {
  results::HeldOut held_out;
  for (int task = 0; task < oracle.n_tasks(); ++task) {
    const TaskFacts& facts = job.tasks->facts(task, Split::held_out);
    held_out.n_examples.push_back(facts.n_examples);
    held_out.n_tokens.push_back(facts.n_targets);
  }
  held_out.loss = loss_matrix(oracle, partition, Split::held_out);
  held_out.baselines = measure_baselines(oracle, options, Split::held_out);
  const Losses own_cluster = at_assignment(held_out.loss, partition);
  held_out.objective = mean_known(own_cluster, task_weights(job.manifest));
  Comparison comparison = compare(held_out.baselines, own_cluster);
  held_out.gain = std::move(comparison.gain);
  held_out.regret = std::move(comparison.regret);
  return held_out;
}

}  // namespace d2c::driver
