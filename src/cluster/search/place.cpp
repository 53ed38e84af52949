#include "d2c/cluster/place.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "search/local_search.hpp"

namespace d2c::cluster {
namespace {

void check(const Assignment& clusters, int n_tasks, int k) {
  const bool fits = clusters.n() == n_tasks &&
                    std::all_of(clusters.begin(), clusters.end(), [k](ClusterId cluster) {
                      return cluster == unplaced || (cluster >= 0 && cluster.value() < k);
                    });
  if (!fits)
    throw UsageError(
        {"the given clusters do not fit",
         fmt::format("each of {} tasks needs a cluster from 0 to {}, or none", n_tasks, k - 1),
         ""});
  if (std::all_of(clusters.begin(), clusters.end(), [](ClusterId c) { return c == unplaced; }))
    throw UsageError({"no task has a cluster yet", "there is nothing to add tasks to",
                      "search for clusters first"});
}

/// Weighted cost of every new task under the clusters of the old ones. Old tasks cost nothing where
/// they are and more than anything else elsewhere. An empty cluster costs what the own adapter
/// does.
CostMatrix placing_costs(const Problem& problem, const Assignment& clusters, int k,
                         const IdVector<TaskId, double>& own) {
  std::vector<TaskSet> sets;
  std::vector<ClusterId> cluster_of_set;
  std::vector<Query> queries;
  for (const ClusterId cluster : ids<ClusterId>(k)) {
    TaskSet set;
    for (const TaskId task : clusters.ids())
      if (clusters[task] == cluster) set.push_back(task);
    if (set.empty()) continue;
    for (const TaskId task : clusters.ids())
      if (clusters[task] == unplaced) queries.push_back({sets.size(), task});
    sets.push_back(std::move(set));
    cluster_of_set.push_back(cluster);
  }
  const std::vector<double> losses = problem.oracle.losses(sets, queries);
  CostMatrix costs(clusters.n(), k);
  double total = 1;
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const auto& [set, task] = queries[i];
    costs(task, cluster_of_set[set]) = problem.objective.excess(task, losses[i], own[task]);
    total += std::abs(costs(task, cluster_of_set[set]));
  }
  for (const TaskId task : costs.rows())
    for (const ClusterId cluster : costs.columns())
      if (clusters[task] != unplaced && clusters[task] != cluster) costs(task, cluster) = total;
  return costs;
}

}  // namespace

SearchResult place_tasks(const Problem& problem, const SearchOptions& options,
                         const Assignment& clusters) {
  Recorder recorder(problem, options, "place");
  check(clusters, problem.oracle.n_tasks(), options.k);
  const Rules rules(options.constraints, problem.oracle.n_tasks(), options.k);
  recorder.begin_restart();
  const IdVector<TaskId, double> own = problem.oracle.own_losses();
  const Partition start =
      rules.fit(placing_costs(problem, clusters, options.k, own), EmptyClusters::allow);
  State state(problem, rules, start, own);
  recorder.iteration(state.partition(), state.known(), state.score());
  std::vector<BlockId> new_blocks;
  for (const BlockId b : rules.blocks()) {
    const TaskSet& block = rules.block(b);
    if (std::all_of(block.begin(), block.end(),
                    [&](TaskId task) { return clusters[task] == unplaced; }))
      new_blocks.push_back(b);
  }
  LocalSearch(problem, rules, recorder, own).improve(state, std::move(new_blocks));
  recorder.iteration(state.partition(), state.known(), state.score());
  recorder.end_restart(recorder.must_stop().value_or(StopReason::complete));
  return recorder.finish();
}

}  // namespace d2c::cluster
