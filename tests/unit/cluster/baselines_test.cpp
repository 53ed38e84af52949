#include <algorithm>
#include <cmath>
#include <set>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

TEST(Registry, NamesAreUniqueAndUnknownOnesAreRefusedWithTheList) {
  std::set<std::string_view> names;
  for (const SearchMethod& method : search_methods()) {
    EXPECT_TRUE(names.insert(method.name).second);
    EXPECT_FALSE(method.summary.empty());
    EXPECT_EQ(&search_method(method.name), &method);
  }
  D2C_EXPECT_ERROR((void)search_method("best"), UsageError, "best", "auto, ", "exhaustive");
}

TEST(Baselines, SimilaritySearchesFindDirectionsThatAreFarApart) {
  Points points{{}, std::vector<double>(12, 1.0)};
  CounterRng rng(1, 1);
  for (int task = 0; task < 12; ++task) {
    std::vector<double> x(3, 0.0);
    x[static_cast<std::size_t>(task % 3)] = 1.0 + rng.uniform();
    for (double& value : x) value += 0.1 * rng.uniform();
    points.x.push_back(x);
  }
  for (const char* method : {"kmeans", "kmeans_trimmed", "spectral", "agglomerative"})
    for (std::uint64_t seed = 0; seed < 3; ++seed)
      EXPECT_EQ(run(method, points, {.k = 3, .seed = seed}).partition.assignment(),
                (Assignment{0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2}))
          << method;
}

TEST(Baselines, EveryMethodWorksForEveryKAndIdenticalTasks) {
  const Points points = random_points(6, 3, 2, 0.5, 5);
  const Points same{std::vector<std::vector<double>>(6, {1.0, 2.0}), std::vector<double>(6, 1.0)};
  for (const SearchMethod& method : search_methods())
    for (int k = 1; k <= 6; ++k) {
      const SearchResult result = run(method.name, points, {.k = k});
      EXPECT_TRUE(std::isfinite(result.objective)) << method.name;
      EXPECT_EQ(result.partition.n_tasks(), 6);
      EXPECT_EQ(result.partition, result.partition.canonical());
      EXPECT_FALSE(result.history.empty()) << method.name;
      EXPECT_DOUBLE_EQ(run(method.name, same, {.k = k}).objective, 1.0) << method.name;
    }
}

TEST(Baselines, OneMergesAllAndOwnMergesNone) {
  const Points points = random_points(5, 3, 2, 0.5, 5);
  EXPECT_EQ(run("one", points, {.k = 3}).partition.assignment(), (Assignment{0, 0, 0, 0, 0}));
  const SearchResult own = run("own", points, {.k = 3});
  EXPECT_EQ(own.partition.assignment(), (Assignment{0, 1, 2, 3, 4}));
  EXPECT_EQ(own.counts.evaluations, 5);
  for (const TaskId task : ids<TaskId>(5))
    EXPECT_EQ(own.loss(task, ClusterId(task.value())), points.floor[task]);
}

TEST(Baselines, MembersOnlyMeasuresOneEntryPerTask) {
  const Points points = random_points(20, 3, 2, 0.5, 5);
  const SearchResult result = run("kmeans", points, {.k = 4, .matrix = ResultMatrix::members});
  EXPECT_EQ(result.counts.evaluations, 20);
  EXPECT_EQ(std::count_if(result.loss.values.begin(), result.loss.values.end(),
                          [](double loss) { return !std::isnan(loss); }),
            20);
  EXPECT_EQ(run("kmeans", points, {.k = 4}).counts.evaluations, 80);
}

TEST(Baselines, ASearchBySimilarityWithoutOneIsRefused) {
  FunctionOracle inner(3, [](const TaskSet&, TaskId, int) { return 1.0; });
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 3);
  for (const SearchMethod& method : search_methods()) {
    if (method.needs == SearchMethod::Needs::nothing) continue;
    D2C_EXPECT_ERROR((void)method.run({oracle, objective}, {.k = 2}), UsageError, "similarity");
    Problem problem{oracle, objective};
    problem.similarity =
        problem.trimmed_similarity = [] { return std::vector<double>(9, std::nan("")); };
    D2C_EXPECT_ERROR((void)method.run(problem, {.k = 2}), InputError, "similarity", "nan");
  }
}

TEST(Exhaustive, MeasuresEverySetThatMayBeACluster) {
  for (const auto& [k, subsets] : {std::pair{4, 15}, {3, 15}, {2, 15}, {1, 1}}) {
    FunctionOracle inner(4, [](const TaskSet& set, TaskId task, int) {
      return set == TaskSet{1, 2} ? 0.5 : 1.0 + 0.01 * task.value();
    });
    CachedOracle oracle(inner);
    const Objective objective(ObjectiveKind::loss, 4);
    const SearchResult result =
        search_method("exhaustive")
            .run({oracle, objective}, {.k = k, .matrix = ResultMatrix::members});
    EXPECT_EQ(result.partition[1] == result.partition[2], true);
    EXPECT_EQ(result.partition[0] == result.partition[1], k == 1);
    std::set<TaskSet> sets;
    for (const CachedOracle::Entry& entry : oracle.save()) sets.insert(entry.set);
    EXPECT_EQ(static_cast<int>(sets.size()), subsets) << k;
  }
}

TEST(Exhaustive, RefusesTooManyTasks) {
  const Points points = random_points(40, 3, 2, 0.5, 5);
  D2C_EXPECT_ERROR((void)run("exhaustive", points, {.k = 4}), UsageError, "40 tasks", "clusters",
                   "auto");
}

/// Calls `visit` with every assignment of n tasks to k clusters.
template <typename Visit>
void each_assignment(int n, int k, Visit visit) {
  Assignment assignment(n);
  for (TaskId digit; digit.value() < n;) {
    visit(assignment);
    for (digit = 0; digit.value() < n && ++assignment[digit] == ClusterId(k); ++digit)
      assignment[digit] = 0;
  }
}

TEST(Exhaustive, AndAutoAreExactForEveryObjectiveUnderWeightsAndConstraints) {
  int instance = 0;
  for (const ObjectiveKind kind : {ObjectiveKind::loss, ObjectiveKind::gain, ObjectiveKind::worst})
    for (int n = 4; n <= 7; ++n)
      for (const int k : {1, 2, 3}) {
        const Points points = random_points(n, 4, 2, 0.6, 300 + static_cast<std::uint64_t>(n));
        FunctionOracle inner = points.oracle();
        CachedOracle oracle(inner);
        IdVector<TaskId, double> weights(n, 1.0);
        weights[1] = 2.5;
        const Objective objective(kind, n, weights, {points.base(), oracle.own_losses()});
        SearchOptions options{.k = k};
        if (++instance % 2 == 0) {
          options.constraints = {.max_size = n == 4 ? 4 : n - 1, .together = {{0, 3}}};
          if (k > 1) options.constraints.apart = {{1, 2}};
          if (k == 1) options.constraints.max_size = 0;
        }
        Score best;
        each_assignment(n, k, [&](const Assignment& assignment) {
          const Partition partition(assignment, k);
          for (const auto& [a, b] : options.constraints.together)
            if (partition[a] != partition[b]) return;
          for (const auto& [a, b] : options.constraints.apart)
            if (partition[a] == partition[b]) return;
          const IdVector<ClusterId, int> sizes = partition.sizes();
          const int largest = *std::max_element(sizes.begin(), sizes.end());
          if (options.constraints.max_size > 0 && largest > options.constraints.max_size) return;
          IdVector<TaskId, double> losses;
          for (const TaskId task : ids<TaskId>(n))
            losses.push_back(points.loss(partition.members(partition[task]), task));
          best = std::min(best, objective.score(losses));
        });
        for (const std::string_view name : {"exhaustive", "auto"}) {
          const SearchResult found = search_method(name).run({oracle, objective}, options);
          EXPECT_NEAR(found.score.value, best.value, 1e-12) << name << ", " << n << ", " << k;
          EXPECT_NEAR(found.score.tie, best.tie, 1e-12) << name << ", " << n << ", " << k;
        }
      }
  EXPECT_GE(instance, 20);
}

TEST(Exhaustive, MeasuresEverySetOfTasksOnce) {
  const Points points = random_points(9, 4, 2, 0.6, 3);
  EXPECT_EQ(run("exhaustive", points, {.k = 4, .matrix = ResultMatrix::members}).counts.evaluations,
            9 * 256);
  EXPECT_LE(run("auto", points, {.k = 4, .max_evaluations = 500}).counts.evaluations, 500 + 9 * 8);
}

}  // namespace
}  // namespace d2c::cluster
