#include "losses/method_losses.hpp"

#include <limits>
#include <utility>

#include "d2c/core/rng.hpp"

#include "session/setup.hpp"

namespace d2c::job {
namespace {

/// A partition that knows nothing: every task in a cluster drawn at random.
cluster::Partition random_partition(int n_tasks, int k, std::uint64_t seed) {
  CounterRng rng(seed, hash_name("baseline/random"));
  cluster::Assignment assignment(n_tasks);
  for (ClusterId& cluster : assignment) {
    cluster = ClusterId(rng.below(static_cast<std::uint64_t>(k)));
  }
  return {assignment, k};
}

IdVector<TaskId, double> task_weights(const eval::Manifest& manifest) {
  IdVector<TaskId, double> weights;
  for (const eval::TaskSpec& task : manifest.tasks) weights.push_back(task.weight);
  return weights;
}

MachineOptions machine_options(const RunOptions& options) {
  return {options.merged_mib << 20, options.ranks_per_node, options.balance};
}

}  // namespace

MethodLosses::MethodLosses(Session& session, const RunOptions& options)
    : session_(session),
      options_(options),
      oracle_(session.parts(), merge_plan(options, *session.input().adapters),
              {.verify = options.verify_examples}, machine_options(options)),
      split_(oracle_.folds().split(examples_per_task())),
      cache_(oracle_, split_),
      weights_(task_weights(session.input().manifest)),
      few_shot_(baselines(Split::few_shot)),
      objective_(options.objective, oracle_.n_tasks(), weights_,
                 {cache_.mean_of_chosen(few_shot_.at("base")),
                  cache_.mean_of_chosen(few_shot_.at("own"))}) {}

IdVector<TaskId, std::int64_t> MethodLosses::examples_per_task() const {
  IdVector<TaskId, std::int64_t> counts;
  for (const TaskId task : input().tasks->ids()) {
    counts.push_back(input().tasks->facts(task, Split::few_shot).n_examples);
  }
  return counts;
}

MeasuredBaselines MethodLosses::baselines(Split split) {
  const cluster::Partition one(cluster::Assignment(oracle_.n_tasks()), 1);
  MeasuredBaselines measured;
  measured["base"] = oracle_.base_losses(split);
  measured["own"] = oracle_.own_losses(split);
  measured["one"] = where_it_fits(one, split);
  return measured;
}

std::vector<double> MethodLosses::where_it_fits(const cluster::Partition& partition, Split split) {
  for (const MergeConfig& config : configs_of(partition)) {
    if (oracle_.can_merge(config.members)) continue;
    const std::size_t n = weights_.size() * oracle_.n_folds(split);
    return std::vector(n, std::numeric_limits<double>::quiet_NaN());
  }
  return of(partition, split);
}

void MethodLosses::measure_held_out() {
  if (input().tasks->any_held_out()) held_out_ = baselines(Split::held_out);
}

void MethodLosses::measure_random(int k) {
  const cluster::Partition random = random_partition(oracle_.n_tasks(), k, options_.seed);
  few_shot_["random"] = where_it_fits(random, Split::few_shot);
  if (!held_out_.empty()) held_out_["random"] = where_it_fits(random, Split::held_out);
}

results::Baselines MethodLosses::chosen() const {
  results::Baselines part;
  for (const auto& [name, losses] : few_shot_) part[name] = cache_.mean_of_chosen(losses).values();
  return part;
}

results::Baselines MethodLosses::kept() const {
  results::Baselines part;
  for (const auto& [name, losses] : few_shot_) part[name] = cache_.mean_of_others(losses).values();
  return part;
}

std::vector<double> MethodLosses::of(const cluster::Partition& partition, Split split) {
  return of(configs_of(partition), split);
}

std::vector<double> MethodLosses::of(const std::vector<MergeConfig>& configs, Split split) {
  const std::vector<MergeRequest> requests = oracle_.requests_for(configs);
  std::vector<cluster::Query> queries;
  for (std::size_t r = 0; r < configs.size(); ++r) {
    for (const TaskId task : configs[r].members) queries.push_back({r, task});
  }
  const std::vector<double> losses = oracle_.losses(requests, queries, split);
  const std::size_t n = oracle_.n_folds(split);
  std::vector<double> by_task(losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    by_task[queries[i / n].task.index() * n + i % n] = losses[i];
  }
  return by_task;
}

PartLosses MethodLosses::on_few_shot(const std::vector<MergeConfig>& configs) {
  const std::vector<double> few_shot = of(configs, Split::few_shot);
  PartLosses losses{cache_.mean_of_chosen(few_shot), {}, {}};
  if (keeps_examples()) losses.kept = cache_.mean_of_others(few_shot);
  return losses;
}

PartLosses MethodLosses::on_all_parts(const std::vector<MergeConfig>& configs) {
  PartLosses losses = on_few_shot(configs);
  if (!held_out_.empty()) losses.held_out = of(configs, Split::held_out);
  return losses;
}

std::vector<std::vector<double>> MethodLosses::columns(const std::vector<MergeConfig>& configs,
                                                       Split split) {
  const std::vector<MergeRequest> requests = oracle_.requests_for(configs);
  std::vector<cluster::Query> queries;
  const bool all = options_.final_losses == FinalLosses::all;
  for (std::size_t r = 0; r < configs.size(); ++r) {
    for (const TaskId task : configs[r].members) {
      if (!all) queries.push_back({r, task});
    }
    for (const TaskId task : input().tasks->ids()) {
      if (all) queries.push_back({r, task});
    }
  }
  const std::vector<double> losses = oracle_.losses(requests, queries, split);
  const std::size_t n = oracle_.n_folds(split);
  const std::size_t n_tasks = static_cast<std::size_t>(oracle_.n_tasks());
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<std::vector<double>> columns(configs.size(), std::vector<double>(n_tasks * n, nan));
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const auto& [configuration, task] = queries[i / n];
    columns[configuration][task.index() * n + i % n] = losses[i];
  }
  return columns;
}

std::vector<MergeConfig> configs_of(const cluster::Partition& partition) {
  std::vector<MergeConfig> configs;
  for (cluster::TaskSet& members : partition.clusters()) {
    if (members.empty()) continue;
    configs.push_back({.members = std::move(members)});
  }
  return configs;
}

}  // namespace d2c::job
