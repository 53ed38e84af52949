#include <algorithm>
#include <cmath>
#include <string>

#include "d2c/cluster/registry.hpp"

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

/// Laws that every search must obey, whatever the tasks.
class EverySearch : public ::testing::TestWithParam<std::string> {
 protected:
  [[nodiscard]] static SearchResult run(const Points& points, const SearchOptions& options,
                                        ObjectiveKind kind = ObjectiveKind::loss) {
    FunctionOracle inner = points.oracle();
    return run(inner, points, options, kind);
  }
  [[nodiscard]] static SearchResult run(FunctionOracle& inner, const Points& points,
                                        const SearchOptions& options, ObjectiveKind kind) {
    CachedOracle oracle(inner);
    const Objective objective(kind, points.n_tasks(), {}, {points.base(), oracle.own_losses()});
    Problem problem{oracle, objective};
    problem.similarity = [&points] { return points.cosine(); };
    problem.trimmed_similarity = problem.similarity;
    return search_method(GetParam()).run(problem, options);
  }

  /// As many tasks as every search can take.
  [[nodiscard]] static int n_tasks() { return GetParam() == "exhaustive" ? 8 : 12; }

  /// The result is what it says, and was reached by steps that only improve.
  static void expect_consistent(const SearchResult& result, const Points& points, int k) {
    const int n = points.n_tasks();
    ASSERT_EQ(result.partition.n_tasks(), n);
    if (GetParam() != "own") {
      EXPECT_LE(result.partition.n_nonempty(), k);
    }
    double sum = 0;
    for (const TaskId task : ids<TaskId>(n))
      sum += points.loss(result.partition.members(result.partition[task]), task);
    EXPECT_NEAR(result.objective, sum / n, 1e-12 * std::abs(sum));
    ASSERT_FALSE(result.curve.empty());
    for (std::size_t i = 1; i < result.curve.size(); ++i) {
      EXPECT_LT(result.curve[i].objective, result.curve[i - 1].objective);
      EXPECT_GE(result.curve[i].evaluations, result.curve[i - 1].evaluations);
    }
    EXPECT_EQ(result.curve.back().objective, result.objective);
  }
};

/// Task i of the result is task order[i] of `points`.
Points renamed(const Points& points, const std::vector<TaskId>& order) {
  Points result;
  for (const TaskId task : order) {
    result.x.push_back(points.x[task]);
    result.floor.push_back(points.floor[task]);
  }
  return result;
}

std::vector<std::vector<TaskId>> orders(int n) {
  std::vector<TaskId> order(ids<TaskId>(n).begin(), ids<TaskId>(n).end());
  std::vector<std::vector<TaskId>> result;
  std::reverse(order.begin(), order.end());
  result.push_back(order);
  CounterRng rng(3, 8);
  for (int i = 0; i < 3; ++i) {
    for (std::size_t left = order.size(); left > 1; --left)
      std::swap(order[left - 1], order[rng.below(left)]);
    result.push_back(order);
  }
  return result;
}

bool is_free_of_chance(const std::string& search, int n_tasks) {
  return search == "exhaustive" || search.starts_with("agglomerative") || search == "one" ||
         search == "own" || (search == "auto" && n_tasks <= 9);
}

TEST_P(EverySearch, RenamedTasksGetTheSameClustersWhereNothingIsDrawn) {
  const int n = GetParam() == "exhaustive" || GetParam() == "auto" ? 8 : 30;
  if (!is_free_of_chance(GetParam(), n)) return;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const Points points = random_points(n, 5, 4, 0.6, 700 + seed);
    const SearchResult result = run(points, {.k = 4});
    for (const std::vector<TaskId>& order : orders(n)) {
      const SearchResult other = run(renamed(points, order), {.k = 4});
      Assignment back(n);
      for (std::size_t i = 0; i < order.size(); ++i) back[order[i]] = other.partition[TaskId(i)];
      EXPECT_EQ(Partition(back, other.partition.k()).canonical(), result.partition);
      EXPECT_NEAR(other.objective, result.objective, 1e-12);
      EXPECT_EQ(other.counts.evaluations, result.counts.evaluations);
    }
  }
}

TEST_P(EverySearch, IsConsistentHoweverTasksAreNamed) {
  const int n = n_tasks();
  const Points points = random_points(n, 4, 3, 0.6, 40);
  for (const std::vector<TaskId>& order : orders(n))
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      const Points other = renamed(points, order);
      expect_consistent(run(other, {.k = 3, .seed = seed, .restarts = 3}), other, 3);
    }
}

TEST_P(EverySearch, CountsTheTasksWhoseClusterDiffersFromTheIterationBefore) {
  const Points points = random_points(n_tasks(), 4, 3, 0.9, 46);
  const SearchResult result = run(points, {.k = 3, .restarts = 3, .max_evaluations = 100});
  ASSERT_FALSE(result.history.empty());
  EXPECT_EQ(result.history.front().moved, 0);
  for (std::size_t i = 1; i < result.history.size(); ++i) {
    int moved = 0;
    for (const TaskId task : points.tasks())
      moved += result.history[i].assignment[task] != result.history[i - 1].assignment[task] ? 1 : 0;
    EXPECT_EQ(result.history[i].moved, moved);
  }
}

TEST_P(EverySearch, ReadsNoOptionThatItsRowDoesNotName) {
  const Points points = random_points(n_tasks(), 4, 3, 0.9, 47);
  const SearchMethod& search = search_method(GetParam());
  const auto reads = [&](std::string_view option) {
    return search.parameters.find(option) != std::string_view::npos;
  };
  SearchOptions options{.k = 3};
  const SearchResult result = run(points, options);
  if (!reads("seed")) options.seed = 9;
  if (!reads("restarts")) options.restarts = 1;
  if (!reads("max-iterations")) options.max_iterations = 1;
  if (!reads("perturbations")) options.perturbations = 0;
  if (!reads("allow-empty")) options.empty = EmptyClusters::allow;
  const SearchResult other = run(points, options);
  EXPECT_EQ(other.partition, result.partition);
  EXPECT_EQ(other.counts.evaluations, result.counts.evaluations);
}

TEST_P(EverySearch, ServesEveryNumberOfClusters) {
  const int n = n_tasks();
  const Points points = random_points(n, 4, 3, 0.6, 41);
  for (int k = 1; k <= n; ++k) {
    SCOPED_TRACE(k);
    expect_consistent(run(points, {.k = k, .restarts = 2}), points, k);
  }
}

TEST_P(EverySearch, EndsWhereAllTasksAreTheSame) {
  const auto n = static_cast<std::size_t>(n_tasks());
  const Points same{std::vector<std::vector<double>>(n, {1.0, 2.0}), std::vector<double>(n, 1.0)};
  for (int k = 1; k <= n_tasks(); ++k)
    for (const ObjectiveKind kind :
         {ObjectiveKind::loss, ObjectiveKind::gain, ObjectiveKind::worst}) {
      const SearchResult result = run(same, {.k = k, .restarts = 2}, kind);
      EXPECT_NEAR(result.objective, kind == ObjectiveKind::loss ? 1 : 0, 1e-12);
    }
}

TEST_P(EverySearch, ServesTasksThatShareAnAdapter) {
  // Every adapter belongs to two tasks, or all but one task have the same.
  const int n = n_tasks();
  Points pairs = random_points(n, n, 3, 0.5, 42);
  for (int i = 0; i + 1 < n; i += 2) pairs.x[TaskId(i + 1)] = pairs.x[TaskId(i)];
  Points most = random_points(n, n, 3, 0.5, 43);
  for (int i = 2; i < n; ++i) most.x[TaskId(i)] = most.x[1];
  for (const Points* points : {&pairs, &most})
    for (const int k : {1, 2, n / 2, n}) {
      const SearchResult result = run(*points, {.k = k, .restarts = 3});
      expect_consistent(result, *points, k);
      const bool optimises = GetParam() == "auto" || GetParam() == "exhaustive";
      const int needed = points == &most ? 2 : n / 2;
      if (!optimises || k < needed) continue;
      double floors = 0;
      for (const double floor : points->floor) floors += floor / n;
      EXPECT_NEAR(result.objective, floors, 1e-12) << "k " << k;
    }
}

TEST_P(EverySearch, ServesTasksWhoseOwnAdapterIsWorseThanTheBaseModel) {
  const int n = n_tasks();
  const Points points = random_points(n, 4, 3, 0.4, 44);
  for (const int n_worse : {1, n / 2, n})
    for (const ObjectiveKind kind :
         {ObjectiveKind::loss, ObjectiveKind::gain, ObjectiveKind::worst}) {
      FunctionOracle inner(n, [&](const TaskSet& set, TaskId task, int) {
        return points.loss(set, task) +
               (set == TaskSet{task} && task.value() < n_worse ? 50.0 : 0.0);
      });
      const SearchResult result = run(inner, points, {.k = 4, .restarts = 3}, kind);
      EXPECT_TRUE(std::isfinite(result.objective)) << n_worse << ", " << objective_names.name(kind);
      EXPECT_EQ(result.partition.n_tasks(), n);
      for (const TaskId task : ids<TaskId>(n))
        EXPECT_FALSE(std::isnan(result.loss(task, result.partition[task])));
    }
}

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const SearchMethod& method : search_methods()) result.emplace_back(method.name);
  return result;
}

INSTANTIATE_TEST_SUITE_P(Searches, EverySearch, ::testing::ValuesIn(names()),
                         [](const auto& instance) { return instance.param; });

TEST(D2c, RenamedTasksGetTheSameClustersFromTheSameStart) {
  const Points points = random_points(30, 5, 4, 0.6, 45);
  const auto from = [](const Points& tasks, Assignment start) {
    FunctionOracle inner = tasks.oracle();
    CachedOracle oracle(inner);
    const Objective objective(ObjectiveKind::loss, tasks.n_tasks());
    return d2c_search({oracle, objective}, {.k = 5, .restarts = 0, .starts = {std::move(start)}});
  };
  CounterRng rng(1, 1);
  Assignment start;
  for (int task = 0; task < 30; ++task) start.push_back(ClusterId(rng.below(5)));
  const SearchResult result = from(points, start);
  EXPECT_GT(result.history.size(), 2U);
  for (const std::vector<TaskId>& order : orders(30)) {
    Assignment renamed_start;
    for (const TaskId task : order) renamed_start.push_back(start[task]);
    const SearchResult other = from(renamed(points, order), renamed_start);
    Assignment back(30);
    for (std::size_t i = 0; i < 30; ++i) back[order[i]] = other.partition[TaskId(i)];
    EXPECT_EQ(Partition(back, 5).canonical(), result.partition);
    EXPECT_EQ(other.history.size(), result.history.size());
  }
}

}  // namespace
}  // namespace d2c::cluster
