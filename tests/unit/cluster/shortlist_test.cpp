#include "weights/shortlist.hpp"

#include <algorithm>
#include <map>

#include "d2c/cluster/registry.hpp"

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

/// `k` groups of tasks, each at random distances below 1 from its centre.
Points grouped_points(int n_tasks, int k, double spread, std::uint64_t seed) {
  constexpr int d = 16;
  CounterRng rng(seed, 5);
  std::vector<std::vector<double>> centres(static_cast<std::size_t>(k));
  for (auto& centre : centres)
    for (int i = 0; i < d; ++i) centre.push_back(rng.normal());
  Points points;
  for (int task = 0; task < n_tasks; ++task) {
    std::vector<double> point = centres[static_cast<std::size_t>(task % k)];
    for (double& value : point) value += spread * rng.normal();
    points.x.push_back(std::move(point));
    points.floor.push_back(0.0);
  }
  return points;
}

Partition groups(int n_tasks, int k) {
  Assignment assignment;
  for (int task = 0; task < n_tasks; ++task) assignment.push_back(ClusterId(task % k));
  return {std::move(assignment), k};
}

SimilarityMatrix inner_products(const Points& points) {
  std::vector<double> values;
  for (const auto& a : points.x)
    for (const auto& b : points.x) {
      double sum = 0;
      for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
      values.push_back(sum);
    }
  return values;
}

/// Sum of the losses of all tasks under their clusters, each cluster merged once.
double total_loss(const Points& points, const Partition& partition) {
  double total = 0;
  for (const TaskSet& set : partition.clusters())
    for (const TaskId task : set) total += points.loss(set, task);
  return total;
}

SearchResult search(const Points& points, const SearchOptions& options) {
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, points.n_tasks());
  Problem problem{oracle, objective};
  problem.similarity = [&points] { return points.cosine(); };
  SearchResult result = search_method("auto").run(problem, options);
  EXPECT_NEAR(result.objective * points.n_tasks(), total_loss(points, result.partition), 1e-9);
  EXPECT_EQ(result.counts.measured(), inner.measured());
  return result;
}

TEST(Shortlist, HasTheNearestClustersOfEachTaskAndFewOthers) {
  const Points points = grouped_points(120, 30, 0.3, 1);
  const Rules rules({}, 120, 30);
  const Partition partition = groups(120, 30);
  std::map<BlockId, std::vector<ClusterId>> listed;
  for (const auto& [block, cluster] : Shortlist(inner_products(points)).entries(rules, partition))
    listed[block].push_back(cluster);
  for (const BlockId b : rules.blocks()) {
    const TaskId task = rules.block(b).front();
    EXPECT_GE(listed[b].size(), 2U);
    EXPECT_LE(listed[b].size(), 8U);
    const auto clusters = partition.cluster_ids();
    const auto nearest = *std::ranges::min_element(clusters, {}, [&](ClusterId c) {
      return c == partition[task] ? 1e9 : points.loss(partition.members(c), task);
    });
    EXPECT_EQ(std::ranges::count(listed[b], nearest), 1);
    EXPECT_EQ(std::ranges::count(listed[b], partition[task]), 0);
  }
}

TEST(Shortlist, KnowsWhatAUnionAddsToTheSquaredDistances) {
  const Points points = grouped_points(30, 5, 0.5, 2);
  const Partition partition = groups(30, 5);
  const auto added = Shortlist(inner_products(points)).unions(partition);
  Partition united = partition;
  for (const TaskId task : partition.members(ClusterId(3))) united.move(task, ClusterId(1));
  EXPECT_NEAR(added(ClusterId(1), ClusterId(3)),
              total_loss(points, united) - total_loss(points, partition), 1e-9);
}

TEST(Shortlist, AThousandTasksTakeNoMoreThanTheirBudgetAndReachTheGroupsAsTheyWereDrawn) {
  constexpr int n = 1000;
  constexpr int k = 50;
  const Points points = grouped_points(n, k, 0.5, 3);
  constexpr std::int64_t budget = 2300 + 10 * n;
  const SearchResult found =
      search(points, {.k = k, .max_evaluations = budget, .matrix = ResultMatrix::members});
  // The last step comes on top. A loss matrix would be 50,000.
  EXPECT_LE(found.counts.evaluations, budget + 2 * n);
  // What the search over whole matrices ends with, too, for 256,000 evaluations.
  EXPECT_LE(found.objective * n, 1.01 * total_loss(points, groups(n, k)));
}

TEST(Shortlist, WithoutABudgetTheEvaluationsOfATaskDoNotGrowWithTheClusters) {
  std::vector<double> per_task;
  for (const int k : {20, 60}) {
    const Points points = grouped_points(10 * k, k, 0.4, 4);
    const SearchResult found =
        search(points, {.k = k, .perturbations = 1, .matrix = ResultMatrix::members});
    EXPECT_LE(found.objective * 10 * k, 1.01 * total_loss(points, groups(10 * k, k)));
    per_task.push_back(static_cast<double>(found.counts.evaluations) / (10 * k));
  }
  EXPECT_LE(per_task[1], 1.5 * per_task[0]) << per_task[0] << " and " << per_task[1];
}

TEST(Shortlist, ConstraintsHoldWhereTasksAreMany) {
  constexpr int n = 400;
  constexpr int k = 20;
  const Points points = grouped_points(n, k, 0.5, 5);
  SearchOptions options{.k = k, .max_evaluations = 2300 + 10 * n};
  options.matrix = ResultMatrix::members;
  options.constraints.min_size = 10;
  options.constraints.max_size = 25;
  for (int i = 0; i < 10; ++i) {
    options.constraints.apart.emplace_back(TaskId(i), TaskId(i + k));  // of one group
    options.constraints.together.emplace_back(TaskId(100 + i), TaskId(101 + i));
  }
  const SearchResult found = search(points, options);
  EXPECT_TRUE(Rules(options.constraints, n, k).allows(found.partition));
  EXPECT_LE(found.counts.evaluations, options.max_evaluations + 2 * n);
  const Partition repaired =
      Rules(options.constraints, n, k).repaired(groups(n, k), EmptyClusters::allow);
  EXPECT_LE(found.objective * n, 1.05 * total_loss(points, repaired));
}

}  // namespace
}  // namespace d2c::cluster
