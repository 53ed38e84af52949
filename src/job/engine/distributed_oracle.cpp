#include "engine/distributed_oracle.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "d2c/eval/recent_adapter.hpp"

namespace d2c::job {

using cluster::Query;
using cluster::TaskSet;

namespace {

/// SLURM is asked to warn five minutes before the end (jobs/).
constexpr double longest_round = 60.0;  // seconds

/// What measuring each of these tasks once takes.
std::vector<double> tokens_of(const TaskStore& store, std::span<const TaskId> tasks, Split split) {
  std::vector<double> tokens;
  tokens.reserve(tasks.size());
  for (const TaskId task : tasks) {
    tokens.push_back(static_cast<double>(store.facts(task, split).n_computed));
  }
  return tokens;
}

/// Part of the keys of losses on some examples.
std::string name_of(const FoldedSplit& examples) {
  if (examples.split == Split::held_out) return "held_out";
  return fmt::format("few_shot {}+{}", examples.folds.choose, examples.folds.verify);
}

}  // namespace

DistributedOracle::DistributedOracle(const Parts& parts, MergePlan plan,
                                     cluster::ExampleFolds folds, const MachineOptions& machine)
    : parts_(parts),
      folds_(folds),
      merger_(parts, parts.inputs, plan, machine.merged_bytes, machine.ranks_per_node),
      medoids_(merger_, parts.tasks, folds),
      scheduler_(parts, machine.ranks_per_node, machine.balance),
      round_(parts.comm.size(), longest_round) {}

MergeRequest DistributedOracle::request_for(const TaskSet& set) const {
  if (plan().representative == Representative::merged) return merger_.members_of(set);
  return {{medoids_.of(set)}, {1.0}, plan().scale};
}

std::vector<MergeRequest> DistributedOracle::requests_for(std::span<const MergeConfig> configs) {
  std::vector<TaskSet> sets;
  sets.reserve(configs.size());
  for (const MergeConfig& config : configs) sets.push_back(config.members);
  std::vector<MergeRequest> requests = requests_of(sets);
  for (std::size_t i = 0; i < configs.size(); ++i) {
    if (configs[i].trained < 0) continue;
    requests[i].trained = trained_[static_cast<std::size_t>(configs[i].trained)];
  }
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
                    return losses(requests, queries, Split::few_shot);
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

Distilled DistributedOracle::distill(std::span<const DistillCluster> clusters,
                                     const DistillOptions& options,
                                     const std::function<bool()>& stop) {
  return job::distill({parts_, merger_, stop, parts_.training}, clusters, options);
}

int DistributedOracle::keep(std::shared_ptr<const TrainedAdapter> adapter) {
  trained_.push_back(std::move(adapter));
  return static_cast<int>(trained_.size()) - 1;
}

std::string DistributedOracle::method_name(const MergeConfig& config) const {
  return config.trained < 0 ? plan().method_name()
                            : trained_[static_cast<std::size_t>(config.trained)]->name;
}

std::vector<results::LossKey> DistributedOracle::keys_of(std::span<const MergeRequest> requests,
                                                         const FoldedSplit& examples) const {
  std::vector<results::LossKey> keys;
  for (const MergeRequest& request : requests) {
    keys.push_back({request.trained ? request.trained->key : plan().method_name(),
                    name_of(examples), request.adapters, request.weights, request.scale});
  }
  return keys;
}

std::vector<double> DistributedOracle::losses(std::span<const MergeRequest> requests,
                                              std::span<const Query> queries, Split split) {
  const FoldedSplit examples = folded(split);
  const std::vector<results::LossKey> keys = keys_of(requests, examples);
  std::vector<Query> missing = parts_.known.missing(keys, queries);
  std::erase_if(missing, [&](const Query& query) {
    return parts_.tasks.facts(query.task, split).n_examples == 0;
  });
  measure(requests, keys, missing, examples);
  return parts_.known.read(keys, queries, examples.n_folds());
}

void DistributedOracle::measure(std::span<const MergeRequest> requests,
                                std::span<const results::LossKey> keys,
                                std::span<const Query> queries, const FoldedSplit& examples) {
  std::vector<std::vector<TaskId>> tasks_of(requests.size());
  for (const auto& [set, task] : queries) tasks_of[set].push_back(task);
  std::vector<MergeRequest> wanted;
  std::vector<std::size_t> place;
  for (std::size_t r = 0; r < requests.size(); ++r) {
    if (tasks_of[r].empty()) continue;
    wanted.push_back(requests[r]);
    place.push_back(r);
  }
  if (!wanted.empty()) parts_.pause();
  merger_.merge_in_turn(wanted, [&](std::size_t begin, std::size_t end) {
    // Made ready once, though the tasks of one may be measured in several rounds.
    eval::RecentAdapter adapters([this](Index index) {
      return parts_.engine.prepare(merger_.merged(static_cast<std::size_t>(index)));
    });
    work_.merges += static_cast<std::int64_t>(end - begin);
    std::vector<std::size_t> adapter_of;
    std::vector<TaskId> task_of;
    for (std::size_t i = begin; i < end; ++i) {
      const std::vector<TaskId>& tasks = tasks_of[place[i]];
      task_of.insert(task_of.end(), tasks.begin(), tasks.end());
      adapter_of.resize(task_of.size(), i - begin);
    }
    in_rounds(
        tokens_of(parts_.tasks, task_of, examples.split), [&](std::size_t at, std::size_t to) {
          std::vector<Evaluation> evaluations;
          for (std::size_t i = at; i < to; ++i) {
            evaluations.push_back({adapter_of[i], task_of[i], i - at});
          }
          MeasuredLosses measured(evaluations.size(), examples.n_folds());
          scheduler_.measure(evaluations, examples, std::ref(adapters), measured);
          const auto values = scheduler_.combine(std::move(measured), examples,
                                                 std::span(task_of).subspan(at, to - at));
          for (const Evaluation& done : evaluations) {
            parts_.known.add(
                keys[place[begin + done.adapter]], done.task,
                std::span(values).subspan(done.entry * examples.n_folds(), examples.n_folds()));
            const TaskFacts& facts = parts_.tasks.facts(done.task, examples.split);
            work_.units += 1;
            work_.tokens_computed += facts.n_computed;
            work_.tokens_total += facts.n_tokens;
          }
        });
    if (end < wanted.size()) parts_.pause();
  });
}

std::vector<TaskId> DistributedOracle::in_turn(std::span<const TaskId> tasks) const {
  std::map<int, int> n_before;  // of each rank
  std::vector<std::pair<int, TaskId>> turns;
  turns.reserve(tasks.size());
  for (const TaskId task : tasks) {
    turns.emplace_back(n_before[parts_.adapters.owner(parts_.adapter_of_task[task])]++, task);
  }
  std::ranges::sort(turns);
  std::vector<TaskId> result;
  result.reserve(turns.size());
  for (const auto& [turn, task] : turns) result.push_back(task);
  return result;
}

void DistributedOracle::in_rounds(
    std::span<const double> n_tokens,
    const std::function<void(std::size_t begin, std::size_t end)>& measure) {
  for (std::size_t begin = 0; begin < n_tokens.size();) {
    if (begin > 0) parts_.pause();
    begin += round_.round(parts_.comm, n_tokens.subspan(begin),
                          [&](std::size_t n) { measure(begin, begin + n); });
  }
}

std::vector<double> DistributedOracle::of_all_tasks(const char* under, Split split,
                                                    const MeasureTasks& measure) {
  const FoldedSplit examples = folded(split);
  const results::LossKey key{under, name_of(examples), {}, {}};
  std::vector<Query> queries;
  for (const TaskId task : parts_.tasks.ids()) queries.push_back({0, task});
  const std::span keys(&key, 1);
  std::vector<TaskId> tasks;
  for (const auto& [set, task] : parts_.known.missing(keys, queries)) {
    if (parts_.tasks.facts(task, split).n_examples > 0) tasks.push_back(task);
  }
  const std::size_t n = examples.n_folds();
  if (!tasks.empty()) parts_.pause();
  tasks = in_turn(tasks);
  in_rounds(tokens_of(parts_.tasks, tasks, split), [&](std::size_t begin, std::size_t end) {
    const auto round = std::span<const TaskId>(tasks).subspan(begin, end - begin);
    MeasuredLosses measured(round.size(), n);
    measure(round, examples, measured);
    const std::vector<double> values = scheduler_.combine(std::move(measured), examples, round);
    for (std::size_t i = 0; i < round.size(); ++i) {
      parts_.known.add(key, round[i], std::span(values).subspan(i * n, n));
    }
  });
  return parts_.known.read(keys, queries, n);
}

std::vector<double> DistributedOracle::base_losses(Split split) {
  return of_all_tasks("base", split, [&](const auto& tasks, const auto& examples, auto& measured) {
    std::vector<Evaluation> evaluations;
    for (std::size_t i = 0; i < tasks.size(); ++i) evaluations.push_back({0, tasks[i], i});
    scheduler_.measure(
        std::move(evaluations), examples, [](Index) { return nullptr; }, measured);
  });
}

std::vector<double> DistributedOracle::own_losses(Split split) {
  return of_all_tasks("own", split, [&](const auto& tasks, const auto& examples, auto& measured) {
    std::vector<Evaluation> evaluations;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const AdapterId adapter = parts_.adapter_of_task[tasks[i]];
      if (parts_.adapters.owner(adapter) != parts_.comm.rank()) continue;
      evaluations.push_back({adapter.index(), tasks[i], i});
    }
    const PrepareAdapter prepare = [this](Index adapter) {
      return parts_.engine.prepare(
          parts_.adapters.local(AdapterId(static_cast<std::size_t>(adapter))));
    };
    scheduler_.measure_own(std::move(evaluations), examples, prepare, measured);
  });
}

}  // namespace d2c::job
