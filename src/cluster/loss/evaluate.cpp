#include "loss/evaluate.hpp"

#include <cmath>
#include <limits>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {
namespace {

/// The clusters that are not empty, with the cluster each comes from.
struct NonEmpty {
  std::vector<TaskSet> sets;
  std::vector<int> cluster;
  std::vector<int> set_of;  // [k]; -1 = empty

  explicit NonEmpty(const Partition& partition)
      : set_of(static_cast<std::size_t>(partition.k()), -1) {
    std::vector<TaskSet> all = partition.clusters();
    for (int k = 0; k < partition.k(); ++k) {
      TaskSet& set = all[static_cast<std::size_t>(k)];
      if (set.empty()) continue;
      set_of[static_cast<std::size_t>(k)] = static_cast<int>(sets.size());
      sets.push_back(std::move(set));
      cluster.push_back(k);
    }
  }
};

}  // namespace

LossMatrix loss_matrix(CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  std::vector<Query> queries;
  for (int task = 0; task < partition.n_tasks(); ++task)
    for (std::size_t set = 0; set < clusters.sets.size(); ++set)
      queries.push_back({static_cast<int>(set), task});
  const std::vector<double> values = oracle.losses(clusters.sets, queries);
  LossMatrix matrix(partition.n_tasks(), partition.k());
  for (std::size_t i = 0; i < queries.size(); ++i)
    matrix(queries[i].task, clusters.cluster[static_cast<std::size_t>(queries[i].set)]) = values[i];
  return matrix;
}

RacedMatrix raced_matrix(CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  std::vector<Entrant> entrants;
  for (int task = 0; task < partition.n_tasks(); ++task)
    for (std::size_t set = 0; set < clusters.sets.size(); ++set)
      entrants.push_back({static_cast<int>(set), task, clusters.cluster[set] == partition[task]});
  const std::vector<Contested> values = oracle.contest(clusters.sets, entrants);
  RacedMatrix matrix{LossMatrix(partition.n_tasks(), partition.k()),
                     LossMatrix(partition.n_tasks(), partition.k())};
  for (std::size_t i = 0; i < entrants.size(); ++i) {
    const int cluster = clusters.cluster[static_cast<std::size_t>(entrants[i].set)];
    matrix.estimate(entrants[i].task, cluster) = values[i].loss;
    if (values[i].exact) matrix.loss(entrants[i].task, cluster) = values[i].loss;
  }
  return matrix;
}

std::vector<double> member_losses(CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  std::vector<Query> queries;
  queries.reserve(partition.assignment().size());
  for (int task = 0; task < partition.n_tasks(); ++task)
    queries.push_back({clusters.set_of[static_cast<std::size_t>(partition[task])], task});
  return oracle.losses(clusters.sets, queries);
}

LossMatrix verify(CachedOracle& oracle, const SearchResult& result) {
  const NonEmpty clusters(result.partition);
  std::vector<Query> queries;
  for (int task = 0; task < result.partition.n_tasks(); ++task)
    for (std::size_t set = 0; set < clusters.sets.size(); ++set)
      if (!std::isnan(result.loss(task, clusters.cluster[set])))
        queries.push_back({static_cast<int>(set), task});
  const std::vector<double> values = oracle.verify_losses(clusters.sets, queries);
  LossMatrix matrix(result.partition.n_tasks(), result.partition.k());
  for (std::size_t i = 0; i < queries.size(); ++i)
    matrix(queries[i].task, clusters.cluster[static_cast<std::size_t>(queries[i].set)]) = values[i];
  return matrix;
}

LossMatrix known_matrix(const CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  LossMatrix matrix(partition.n_tasks(), partition.k());
  for (std::size_t set = 0; set < clusters.sets.size(); ++set)
    for (int task = 0; task < partition.n_tasks(); ++task)
      matrix(task, clusters.cluster[set]) =
          oracle.known(clusters.sets[set], task).value_or(std::numeric_limits<double>::quiet_NaN());
  return matrix;
}

}  // namespace d2c::cluster
