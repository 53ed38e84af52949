#include "loss/evaluate.hpp"

#include <cmath>
#include <limits>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {
namespace {

/// The clusters that are not empty.
struct NonEmpty {
  std::vector<TaskSet> sets;
  std::vector<ClusterId> cluster;  // of every set
  IdVector<ClusterId, std::size_t> set_of;

  explicit NonEmpty(const Partition& partition) : set_of(partition.k()) {
    IdVector<ClusterId, TaskSet> all = partition.clusters();
    for (const ClusterId k : all.ids()) {
      if (all[k].empty()) continue;
      set_of[k] = sets.size();
      sets.push_back(std::move(all[k]));
      cluster.push_back(k);
    }
  }

  /// Every task under every one of them.
  [[nodiscard]] std::vector<Query> queries(const Partition& partition) const {
    std::vector<Query> all;
    for (const TaskId task : partition.tasks())
      for (std::size_t set = 0; set < sets.size(); ++set) all.push_back({set, task});
    return all;
  }

  [[nodiscard]] LossMatrix matrix(const Partition& partition, std::span<const Query> queries,
                                  std::span<const double> values) const {
    LossMatrix result(partition.n_tasks(), partition.k());
    for (std::size_t i = 0; i < queries.size(); ++i)
      result(queries[i].task, cluster[queries[i].set]) = values[i];
    return result;
  }
};

}  // namespace

LossMatrix loss_matrix(CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  const std::vector<Query> queries = clusters.queries(partition);
  return clusters.matrix(partition, queries, oracle.losses(clusters.sets, queries));
}

IdVector<TaskId, double> member_losses(CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  std::vector<Query> queries;
  for (const TaskId task : partition.tasks())
    queries.push_back({clusters.set_of[partition[task]], task});
  return oracle.losses(clusters.sets, queries);
}

std::vector<std::vector<double>> losses_under(CachedOracle& oracle, std::span<const TaskSet> sets,
                                              std::span<const TaskSet> tasks) {
  std::vector<Query> queries;
  for (std::size_t i = 0; i < sets.size(); ++i)
    for (const TaskId task : tasks[i]) queries.push_back({i, task});
  const std::vector<double> values = oracle.losses(sets, queries);
  std::vector<std::vector<double>> result;
  auto from = values.begin();
  for (const TaskSet& of : tasks) {
    result.emplace_back(from, from + std::ssize(of));
    from += std::ssize(of);
  }
  return result;
}

LossMatrix verify(CachedOracle& oracle, const SearchResult& result) {
  const NonEmpty clusters(result.partition);
  std::vector<Query> queries = clusters.queries(result.partition);
  std::erase_if(queries, [&](const Query& query) {
    return std::isnan(result.loss(query.task, clusters.cluster[query.set]));
  });
  return clusters.matrix(result.partition, queries, oracle.verify_losses(clusters.sets, queries));
}

LossMatrix known_matrix(const CachedOracle& oracle, const Partition& partition) {
  const NonEmpty clusters(partition);
  LossMatrix matrix(partition.n_tasks(), partition.k());
  for (const auto& [set, task] : clusters.queries(partition))
    matrix(task, clusters.cluster[set]) =
        oracle.known(clusters.sets[set], task).value_or(std::numeric_limits<double>::quiet_NaN());
  return matrix;
}

}  // namespace d2c::cluster
