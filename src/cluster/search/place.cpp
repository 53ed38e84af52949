#include "d2c/cluster/place.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "search/local_search.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

void check(const Assignment& clusters, int n_tasks, int k) {
  const bool fits = clusters.size() == at(n_tasks) &&
                    std::all_of(clusters.begin(), clusters.end(), [k](int cluster) {
                      return cluster == unplaced || (cluster >= 0 && cluster < k);
                    });
  if (!fits)
    throw UsageError(
        {"the given clusters do not fit",
         fmt::format("each of {} tasks needs a cluster from 0 to {}, or none", n_tasks, k - 1),
         ""});
  if (std::all_of(clusters.begin(), clusters.end(), [](int c) { return c == unplaced; }))
    throw UsageError({"no task has a cluster yet", "there is nothing to add tasks to",
                      "search for clusters first"});
}

/// Weighted cost of every new task under the clusters of the old ones. Old tasks cost nothing where
/// they are and more than anything else elsewhere. An empty cluster costs what the own adapter
/// does.
LossMatrix placing_costs(const Problem& problem, const Assignment& clusters, int k,
                         std::span<const double> own) {
  const int n_tasks = problem.oracle.n_tasks();
  std::vector<TaskSet> sets;
  std::vector<int> cluster_of_set;
  std::vector<Query> queries;
  for (int cluster = 0; cluster < k; ++cluster) {
    TaskSet set;
    for (int task = 0; task < n_tasks; ++task)
      if (clusters[at(task)] == cluster) set.push_back(task);
    if (set.empty()) continue;
    for (int task = 0; task < n_tasks; ++task)
      if (clusters[at(task)] == unplaced) queries.push_back({static_cast<int>(sets.size()), task});
    sets.push_back(std::move(set));
    cluster_of_set.push_back(cluster);
  }
  const std::vector<double> losses = problem.oracle.losses(sets, queries);
  const auto cost = [&](int task, double loss) {
    return problem.objective.weight(task) *
           (problem.objective.cost(task, loss) - problem.objective.cost(task, own[at(task)]));
  };
  LossMatrix costs(n_tasks, k);
  std::fill(costs.values.begin(), costs.values.end(), 0.0);
  double total = 1;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const double value = cost(queries[i].task, losses[i]);
    costs(queries[i].task, cluster_of_set[at(queries[i].set)]) = value;
    total += std::abs(value);
  }
  for (int task = 0; task < n_tasks; ++task)
    for (int cluster = 0; cluster < k; ++cluster)
      if (clusters[at(task)] != unplaced && clusters[at(task)] != cluster)
        costs(task, cluster) = total;
  return costs;
}

}  // namespace

SearchResult place_tasks(const Problem& problem, const SearchOptions& options,
                         const Assignment& clusters) {
  Recorder recorder(problem, options, "place");
  check(clusters, problem.oracle.n_tasks(), options.k);
  const Rules rules(options.constraints, problem.oracle.n_tasks(), options.k);
  recorder.begin_restart();
  const std::vector<double> own = problem.oracle.own_losses();
  const Partition start =
      rules.fit(placing_costs(problem, clusters, options.k, own), EmptyClusters::allow);
  State state(problem, rules, start, own);
  recorder.iteration(state.partition(), state.known(), state.score(), 0);
  std::vector<int> new_blocks;
  for (int b = 0; b < rules.n_blocks(); ++b) {
    const TaskSet& block = rules.block(b);
    if (std::all_of(block.begin(), block.end(),
                    [&](int task) { return clusters[at(task)] == unplaced; }))
      new_blocks.push_back(b);
  }
  LocalSearch(problem, rules, recorder, own).improve(state, new_blocks);
  recorder.iteration(state.partition(), state.known(), state.score(), 0);
  recorder.end_restart(recorder.must_stop().value_or(StopReason::complete));
  return recorder.finish();
}

}  // namespace d2c::cluster
