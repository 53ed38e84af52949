#include "engine/distributed_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

namespace d2c::job {

using cluster::Query;
using cluster::TaskSet;

DistributedOracle::DistributedOracle(const Parts& parts, MergePlan plan,
                                     cluster::ExampleFolds folds, const MachineOptions& machine)
    : parts_(parts),
      folds_(folds),
      race_bytes_(machine.race_bytes),
      merger_({parts.comm, parts.adapters, parts.adapter_of_task, parts.timers}, std::move(plan),
              machine.merged_bytes, machine.ranks_per_node),
      medoids_(merger_, parts.tasks, folds),
      scheduler_({parts.comm, parts.tasks, parts.engine, parts.timers}, machine.ranks_per_node,
                 machine.balance) {}

MergeRequest DistributedOracle::request_for(const TaskSet& set) const {
  if (plan().representative == Representative::merged) return merger_.members_of(set);
  return {{medoids_.of(set)}, {1.0}, plan().scale};
}

MergeRequest DistributedOracle::request_for(const cluster::Recipe& recipe) const {
  MergeRequest request = request_for(recipe.members);
  request.scale = recipe.scale;
  request.way = recipe.method;
  if (recipe.weights.empty()) return request;
  std::map<int, double> weight_of_adapter;
  for (std::size_t i = 0; i < recipe.members.size(); ++i) {
    const auto task = static_cast<std::size_t>(recipe.members[i]);
    weight_of_adapter[parts_.adapter_of_task[task]] += recipe.weights[i];
  }
  for (std::size_t i = 0; i < request.adapters.size(); ++i) {
    request.weights[i] = weight_of_adapter.at(request.adapters[i]);
  }
  return request;
}

std::vector<MergeRequest> DistributedOracle::requests_for(
    std::span<const cluster::Recipe> recipes) {
  std::vector<TaskSet> sets;
  sets.reserve(recipes.size());
  for (const cluster::Recipe& recipe : recipes) sets.push_back(recipe.members);
  choose_representatives(sets);
  std::vector<MergeRequest> requests;
  requests.reserve(recipes.size());
  for (const cluster::Recipe& recipe : recipes) requests.push_back(request_for(recipe));
  return requests;
}

std::vector<MergeRequest> DistributedOracle::requests_of(std::span<const TaskSet> sets) {
  choose_representatives(sets);
  std::vector<MergeRequest> requests;
  requests.reserve(sets.size());
  for (const TaskSet& set : sets) requests.push_back(request_for(set));
  return requests;
}

void DistributedOracle::choose_representatives(std::span<const TaskSet> sets) {
  if (plan().representative == Representative::merged) return;
  medoids_.choose(sets,
                  [&](std::span<const MergeRequest> requests, std::span<const Query> queries) {
                    return losses(requests, queries, Split::few_shot, folds_);
                  });
}

bool DistributedOracle::can_merge(const TaskSet& set) const {
  return plan().representative == Representative::medoid ||
         members_fit(parts_.adapters, plan(), request_for(set));
}

lora::FactorMap DistributedOracle::merged(const MergeRequest& request) {
  merger_.merge(std::span(&request, 1));
  return merger_.merged(0);
}

PrepareAdapter DistributedOracle::prepare_merged() {
  return [this](Index index) {
    return parts_.engine.prepare(merger_.merged(static_cast<int>(index)));
  };
}

PrepareAdapter DistributedOracle::prepare_own() {
  return [this](Index adapter) {
    return parts_.engine.prepare(parts_.adapters.local(static_cast<int>(adapter)));
  };
}

std::vector<double> DistributedOracle::losses(std::span<const TaskSet> sets,
                                              std::span<const Query> queries, Split split) {
  return losses(requests_of(sets), queries, split, folded(split).folds);
}

std::vector<double> DistributedOracle::losses(std::span<const MergeRequest> requests,
                                              std::span<const Query> queries, Split split,
                                              cluster::ExampleFolds folds) {
  std::vector<std::vector<std::size_t>> queries_of(requests.size());
  std::vector<int> task_of;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    task_of.push_back(queries[q].task);
    queries_of[static_cast<std::size_t>(queries[q].set)].push_back(q);
  }
  const FoldedSplit examples{split, folds};
  MeasuredLosses measured(queries.size(), examples.n_folds());
  merger_.merge_in_turn(requests, [&](std::size_t begin, std::size_t end) {
    work_.merges += static_cast<std::int64_t>(end - begin);
    std::vector<Evaluation> evaluations;
    for (std::size_t set = begin; set < end; ++set) {
      for (const std::size_t q : queries_of[set]) {
        const TaskFacts& facts = parts_.tasks.facts(queries[q].task, split);
        if (facts.n_examples == 0) continue;
        evaluations.push_back({static_cast<int>(set - begin), queries[q].task, q});
        work_.units += 1;
        work_.tokens_computed += facts.n_computed;
        work_.tokens_total += facts.n_tokens;
      }
    }
    scheduler_.measure(std::move(evaluations), examples, prepare_merged(), measured);
  });
  return scheduler_.combine(std::move(measured), examples, task_of);
}

std::vector<double> DistributedOracle::base_losses(Split split) {
  std::vector<Evaluation> evaluations;
  std::vector<int> task_of;
  for (int task = 0; task < n_tasks(); ++task) {
    task_of.push_back(task);
    if (parts_.tasks.facts(task, split).n_examples == 0) continue;
    evaluations.push_back({0, task, static_cast<std::size_t>(task)});
  }
  const FoldedSplit examples = folded(split);
  MeasuredLosses measured(task_of.size(), examples.n_folds());
  scheduler_.measure(
      std::move(evaluations), examples, [](Index) { return nullptr; }, measured);
  return scheduler_.combine(std::move(measured), examples, task_of);
}

std::vector<double> DistributedOracle::own_losses(Split split) {
  std::vector<Evaluation> evaluations;
  std::vector<int> task_of;
  for (int task = 0; task < n_tasks(); ++task) {
    task_of.push_back(task);
    if (parts_.tasks.facts(task, split).n_examples == 0) continue;
    const int adapter = parts_.adapter_of_task[static_cast<std::size_t>(task)];
    if (parts_.adapters.owner(adapter) != parts_.comm.rank()) continue;
    evaluations.push_back({adapter, task, static_cast<std::size_t>(task)});
  }
  const FoldedSplit examples = folded(split);
  MeasuredLosses measured(task_of.size(), examples.n_folds());
  scheduler_.measure_own(std::move(evaluations), examples, prepare_own(), measured);
  return scheduler_.combine(std::move(measured), examples, task_of);
}

std::vector<double> DistributedOracle::race(std::span<const TaskSet> sets,
                                            std::span<const cluster::Race> races) {
  const std::vector<MergeRequest> requests = requests_of(sets);
  merger_.merge(requests);
  work_.merges += std::ssize(requests);
  const RaceInputs inputs{parts_.tasks, folds_, parts_.engine.kept_token_bytes(), race_bytes_};
  RaceResults results =
      measure_races(parts_.comm, scheduler_, inputs, races, prepare_merged(), parts_.timers);
  for (std::size_t r = 0; r < races.size(); ++r) {
    for (std::size_t c = 0; c < races[r].sets.size(); ++c) {
      take_over(races[r], c, results.begin[r] + c, results);
    }
  }
  return std::move(results.losses);
}

/// Adds what was known of a contestant to what was measured, and counts the work.
void DistributedOracle::take_over(const cluster::Race& race, std::size_t contestant,
                                  std::size_t entry, RaceResults& results) {
  const auto n = static_cast<std::size_t>(n_folds());
  const RaceWork& work = results.work[entry];
  const auto losses = std::span(results.losses).subspan(entry * n, n);
  const auto known = std::span(race.known).subspan(contestant * n, n);
  const auto n_parts = static_cast<int>(race.folds.size());
  const auto parts = static_cast<int>(work.parts);
  std::vector<char> is_measured(n, parts == n_parts ? 1 : 0);
  for (int part = 0; part < parts; ++part) {
    is_measured[static_cast<std::size_t>(race.folds[static_cast<std::size_t>(part)])] = 1;
  }
  for (std::size_t fold = 0; fold < n; ++fold) {
    if (is_measured[fold] == 0) losses[fold] = known[fold];
  }
  if (parts == 0) return;
  const TaskFacts& facts = parts_.tasks.facts(race.task, Split::few_shot);
  const double tokens = work.tokens + work.check_tokens;
  scheduler_.costs().add(race.task, Split::few_shot, work.seconds, tokens);
  work_.units += 1;
  work_.tokens_computed += static_cast<std::int64_t>(tokens);
  work_.tokens_total += static_cast<std::int64_t>(work.tokens_unshared);
  race_tokens_.raced += static_cast<std::int64_t>(work.tokens);
  race_tokens_.checks += static_cast<std::int64_t>(work.check_tokens);
  // What an earlier race began is counted already.
  const bool is_new = std::ranges::all_of(known, [](double loss) { return std::isnan(loss); });
  race_tokens_.whole += is_new ? facts.n_computed : 0;
}

}  // namespace d2c::job
