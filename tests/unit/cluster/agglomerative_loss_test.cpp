#include <algorithm>
#include <cmath>
#include <set>

#include "d2c/cluster/registry.hpp"

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

constexpr int most = 1024;  // clusters that an agglomeration begins with
constexpr int twins = 40;

/// 1,024 tasks, of which the first 40 have a twin with nearly the same adapter at the end.
Points tasks_with_twins() {
  Points points = random_points(most, most, 8, 0.5, 61);
  CounterRng rng(62, 1);
  for (const TaskId twin : ids<TaskId>(twins)) {
    std::vector<double> x = points.x[twin];
    for (double& value : x) value += 1e-6 * rng.normal();
    points.x.push_back(std::move(x));
    points.floor.push_back(1.5);
  }
  return points;
}

/// Every set that was measured for another reason than a task's own loss, in a run that stops
/// early.
std::set<TaskSet> measured_sets(const Points& points, int k) {
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, points.n_tasks());
  Problem problem{oracle, objective};
  problem.similarity = [&points] { return points.cosine(); };
  SearchOptions options{.k = k, .matrix = ResultMatrix::members};
  options.max_evaluations = 4 * points.n_tasks();
  const SearchResult result = search_method("agglomerative_loss").run(problem, options);
  EXPECT_EQ(result.partition.n_tasks(), points.n_tasks());
  EXPECT_LE(result.partition.n_nonempty(), k);
  std::set<TaskSet> sets;
  for (const CachedOracle::Entry& entry : oracle.save()) sets.insert(entry.set);
  for (const TaskId task : ids<TaskId>(points.n_tasks())) sets.erase({task});
  return sets;
}

bool splits_twins(const TaskSet& set) {
  return std::any_of(set.begin(), set.end(), [&](TaskId task) {
    const int t = task.value();
    const TaskId twin(t >= most ? t - most : t + most);
    return (t < twins || t >= most) && !std::binary_search(set.begin(), set.end(), twin);
  });
}

TEST(AgglomerativeLoss, OfMoreThan1024TasksTheMostSimilarShareAClusterFromTheStart) {
  const Points points = tasks_with_twins();
  const std::set<TaskSet> sets = measured_sets(points, 200);
  for (int twin = 0; twin < twins; ++twin)
    EXPECT_TRUE(sets.contains({TaskId(twin), TaskId(most + twin)})) << "task " << twin;
  EXPECT_EQ(std::count_if(sets.begin(), sets.end(), splits_twins), 0);
  EXPECT_GT(sets.size(), 300U);
}

TEST(AgglomerativeLoss, EveryTaskBeginsAloneWhereFourTimesKClustersAreMore) {
  Points points = tasks_with_twins();
  // A twin that is elsewhere in truth, though its adapter looks the same: measured, not assumed.
  FunctionOracle inner(points.n_tasks(), [&](const TaskSet& set, TaskId task, int) {
    return points.loss(set, task) +
           (task < twins && std::binary_search(set.begin(), set.end(), TaskId(task.value() + most))
                ? 9
                : 0);
  });
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, points.n_tasks());
  Problem problem{oracle, objective};
  problem.similarity = [&points] { return points.cosine(); };
  const int k = points.n_tasks() / 4 + 200;
  const SearchResult result =
      search_method("agglomerative_loss").run(problem, {.k = k, .matrix = ResultMatrix::members});
  int together = 0;
  for (int twin = 0; twin < twins; ++twin)
    together += result.partition[TaskId(twin)] == result.partition[TaskId(twin + most)] ? 1 : 0;
  EXPECT_LT(together, twins / 10);
}

}  // namespace
}  // namespace d2c::cluster
