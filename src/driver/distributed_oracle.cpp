#include "d2c/driver/distributed_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::driver {

using cluster::Query;
using cluster::TaskSet;

DistributedOracle::DistributedOracle(const Parts& parts, MergePlan plan,
                                     cluster::ExampleFolds folds, std::uint64_t wave_bytes)
    : parts_(parts), plan_(plan), folds_(folds), wave_bytes_(wave_bytes) {}

MergeRequest DistributedOracle::request_for(const TaskSet& set) const {
  if (plan_.representative == Representative::merged) return members_of(set);
  return {{medoids_.at(set)}, {1.0}};
}

MergeRequest DistributedOracle::members_of(const TaskSet& set) const {
  std::map<int, double> tasks_of_adapter;
  for (const int task : set) {
    tasks_of_adapter[parts_.adapter_of_task[static_cast<std::size_t>(task)]] += 1.0;
  }
  MergeRequest request;
  for (const auto& [adapter, n] : tasks_of_adapter) {
    request.adapters.push_back(adapter);
    request.weights.push_back(n / static_cast<double>(set.size()));
  }
  return request;
}

std::vector<double> DistributedOracle::losses(std::span<const TaskSet> sets,
                                              std::span<const Query> queries, Split split) {
  if (plan_.representative == Representative::medoid) choose_medoids(sets);
  std::vector<MergeRequest> requests;
  requests.reserve(sets.size());
  for (const TaskSet& set : sets) requests.push_back(request_for(set));
  return measure(requests, queries, split);
}

void DistributedOracle::choose_medoids(std::span<const TaskSet> sets) {
  std::vector<MergeRequest> singles;
  std::vector<Query> queries;
  std::map<int, int> single_of_adapter;
  for (const TaskSet& set : sets) {
    if (medoids_.contains(set)) continue;
    for (const int adapter : members_of(set).adapters) {
      for (const int task : set) {
        if (!single_losses_.emplace(std::pair(adapter, task), 0.0).second) continue;
        const auto [place, fresh] =
            single_of_adapter.emplace(adapter, static_cast<int>(singles.size()));
        if (fresh) singles.push_back({{adapter}, {1.0}});
        queries.push_back({place->second, task});
      }
    }
  }
  const std::vector<double> values = measure(singles, queries, Split::few_shot);
  const auto n = static_cast<std::size_t>(n_folds());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const int adapter = singles[static_cast<std::size_t>(queries[q].set)].adapters.front();
    const int task = queries[q].task;
    single_losses_[{adapter, task}] = mean_to_choose_by(task, &values[q * n]);
  }

  for (const TaskSet& set : sets) {
    if (medoids_.contains(set)) continue;
    double lowest = std::numeric_limits<double>::infinity();
    for (const int adapter : members_of(set).adapters) {
      double sum = 0.0;
      for (const int task : set) sum += single_losses_.at({adapter, task});
      if (sum < lowest) {
        lowest = sum;
        medoids_[set] = adapter;
      }
    }
  }
}

double DistributedOracle::mean_to_choose_by(int task, const double* fold_losses) const {
  std::vector<double> examples(static_cast<std::size_t>(folds_.choose), 0.0);
  for (const int fold : folds_.of(parts_.tasks.facts(task, Split::few_shot).n_examples)) {
    if (fold < folds_.choose) examples[static_cast<std::size_t>(fold)] += 1;
  }
  double sum = 0.0;
  double total = 0.0;
  for (std::size_t fold = 0; fold < examples.size(); ++fold) {
    sum += examples[fold] * fold_losses[fold];
    total += examples[fold];
  }
  return sum / total;
}

std::vector<double> DistributedOracle::measure(std::span<const MergeRequest> requests,
                                               std::span<const Query> queries, Split split) {
  std::vector<double> values(queries.size() * static_cast<std::size_t>(folds_of(split).n_folds()),
                             0.0);
  for (std::size_t begin = 0; begin < requests.size();) {
    std::uint64_t bytes = 0;
    std::size_t end = begin;
    while (end < requests.size()) {
      bytes += merged_bytes(parts_.adapters, plan_, requests[end]);
      if (end > begin && bytes > wave_bytes_) break;
      ++end;
    }
    std::vector<lora::FactorMap> merged;
    {
      const auto timer = parts_.timers.scope("merge");
      merged = merge_distributed(parts_.comm, parts_.adapters, plan_,
                                 requests.subspan(begin, end - begin));
    }
    work_.merges += static_cast<std::int64_t>(end - begin);
    evaluate_wave(merged, static_cast<int>(begin), queries, split, values);
    begin = end;
  }
  share(values, split, queries);
  return values;
}

void DistributedOracle::evaluate_wave(std::span<const lora::FactorMap> merged, int first_set,
                                      std::span<const Query> queries, Split split,
                                      std::vector<double>& values) {
  const auto timer = parts_.timers.scope("evaluate");
  // By merged adapter, so that each is made ready once.
  std::vector<std::vector<std::size_t>> of_set(merged.size());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const int set = queries[q].set - first_set;
    if (set < 0 || set >= std::ssize(merged)) continue;
    const TaskFacts& facts = parts_.tasks.facts(queries[q].task, split);
    if (facts.n_examples == 0) continue;
    work_.units += 1;
    work_.tokens_computed += facts.n_computed;
    work_.tokens_total += facts.n_tokens;
    if (parts_.tasks.owner(queries[q].task) == parts_.comm.rank()) {
      of_set[static_cast<std::size_t>(set)].push_back(q);
    }
  }
  for (std::size_t set = 0; set < merged.size(); ++set) {
    if (of_set[set].empty()) continue;
    parts_.evaluator.use(&merged[set]);
    const auto n = static_cast<std::size_t>(folds_of(split).n_folds());
    for (const std::size_t q : of_set[set]) evaluate(queries[q].task, split, &values[q * n]);
  }
}

void DistributedOracle::evaluate(int task, Split split, double* values) {
  const PackedTask& packed = parts_.tasks.local(task, split);
  const cluster::ExampleFolds folds = folds_of(split);
  const std::vector<int> fold_of = folds.of(packed.n_examples);
  std::vector<double> examples(static_cast<std::size_t>(folds.n_folds()), 0.0);
  std::fill_n(values, examples.size(), 0.0);
  std::size_t example = 0;
  for (const double loss : parts_.evaluator.example_losses(packed.batches, packed.n_examples)) {
    const auto fold = static_cast<std::size_t>(fold_of[example++]);
    values[fold] += loss;
    examples[fold] += 1;
  }
  for (std::size_t fold = 0; fold < examples.size(); ++fold) {
    if (examples[fold] > 0) values[fold] /= examples[fold];
  }
}

void DistributedOracle::share(std::vector<double>& values, Split split,
                              std::span<const Query> queries) {
  const auto timer = parts_.timers.scope("reduce");
  parts_.comm.sum(values);
  const auto n = static_cast<std::size_t>(folds_of(split).n_folds());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int task = queries[i / n].task;
    if (parts_.tasks.facts(task, split).n_examples == 0) {
      values[i] = std::numeric_limits<double>::quiet_NaN();
    } else if (!std::isfinite(values[i])) {
      throw InputError({}, {fmt::format("the loss of task {} is not finite", task),
                            "no cluster can be chosen for it",
                            "check its adapter and the base model with `d2c evaluate`"});
    }
  }
}

std::vector<double> DistributedOracle::base_losses(Split split) {
  const auto n = static_cast<std::size_t>(folds_of(split).n_folds());
  std::vector<double> values(static_cast<std::size_t>(n_tasks()) * n, 0.0);
  std::vector<Query> queries;
  {
    const auto timer = parts_.timers.scope("evaluate");
    parts_.evaluator.use(nullptr);
    for (int task = 0; task < n_tasks(); ++task) {
      queries.push_back({0, task});
      if (parts_.tasks.owner(task) == parts_.comm.rank() &&
          parts_.tasks.facts(task, split).n_examples > 0) {
        evaluate(task, split, &values[static_cast<std::size_t>(task) * n]);
      }
    }
  }
  share(values, split, queries);
  return values;
}

std::vector<double> DistributedOracle::own_losses(Split split) {
  // Round by round, each rank gets the adapter of one of its tasks.
  std::vector<std::vector<int>> tasks_of_rank(static_cast<std::size_t>(parts_.comm.size()));
  std::vector<Query> queries;
  for (int task = 0; task < n_tasks(); ++task) {
    queries.push_back({0, task});
    if (parts_.tasks.facts(task, split).n_examples > 0) {
      tasks_of_rank[static_cast<std::size_t>(parts_.tasks.owner(task))].push_back(task);
    }
  }
  std::size_t rounds = 0;
  for (const auto& tasks : tasks_of_rank) rounds = std::max(rounds, tasks.size());

  const auto n_modules = static_cast<int>(parts_.adapters.modules().size());
  const auto n = static_cast<std::size_t>(folds_of(split).n_folds());
  std::vector<double> values(static_cast<std::size_t>(n_tasks()) * n, 0.0);
  for (std::size_t round = 0; round < rounds; ++round) {
    std::vector<Shipment> shipments;
    int mine = -1;
    for (int rank = 0; rank < parts_.comm.size(); ++rank) {
      const auto& tasks = tasks_of_rank[static_cast<std::size_t>(rank)];
      if (round >= tasks.size()) continue;
      const int task = tasks[round];
      if (rank == parts_.comm.rank()) mine = task;
      for (int module = 0; module < n_modules; ++module) {
        shipments.push_back({parts_.adapter_of_task[static_cast<std::size_t>(task)], module, rank});
      }
    }
    ReceivedFactors received;
    {
      const auto timer = parts_.timers.scope("exchange");
      received = parts_.adapters.ship(shipments);
    }
    if (mine < 0) continue;
    const auto timer = parts_.timers.scope("evaluate");
    const int adapter = parts_.adapter_of_task[static_cast<std::size_t>(mine)];
    if (parts_.adapters.owner(adapter) == parts_.comm.rank()) {
      parts_.evaluator.use(&parts_.adapters.local(adapter));
    } else {
      lora::FactorMap factors;
      for (auto& [key, value] : received) {
        factors.emplace(parts_.adapters.modules()[static_cast<std::size_t>(key.second)].name,
                        std::move(value));
      }
      parts_.evaluator.use(&factors);
    }
    evaluate(mine, split, &values[static_cast<std::size_t>(mine) * n]);
  }
  share(values, split, queries);
  return values;
}

lora::FactorMap DistributedOracle::merged(const TaskSet& set) {
  const MergeRequest request = request_for(set);
  return merge_distributed(parts_.comm, parts_.adapters, plan_, std::span(&request, 1)).front();
}

}  // namespace d2c::driver
