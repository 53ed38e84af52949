#include <algorithm>
#include <cmath>

#include "d2c/cluster/search.hpp"
#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

TEST(D2c, RecoversGroupsThatAreFarApart) {
  const Points points = random_points(24, 4, 8, 0.01, 3);
  const SearchResult result = run("d2c", points, {.k = 4, .seed = 1});
  double within = 0;
  for (const double floor : points.floor) within += floor / 24;
  EXPECT_LT(result.objective, within + 0.01);
}

TEST(D2c, EveryIterationIsTheArgminOfTheOneBefore) {
  const SearchResult result = run("d2c", random_points(30, 5, 3, 0.4, 1), {.k = 5, .seed = 2});
  for (std::size_t i = 1; i < result.history.size(); ++i) {
    const Iteration& before = result.history[i - 1];
    int moved = 0;
    for (const TaskId task : ids<TaskId>(30)) {
      const ClusterId now = result.history[i].assignment[task];
      moved += now != before.assignment[task] ? 1 : 0;
      for (const ClusterId k : ids<ClusterId>(5))
        EXPECT_LE(before.loss(task, now), before.loss(task, k));
    }
    EXPECT_EQ(result.history[i].moved, moved);
  }
}

TEST(D2c, TheResultIsTheBestOfAllIteratesOfAllRestarts) {
  const SearchResult result =
      run("d2c", random_points(40, 6, 3, 0.6, 1), {.k = 6, .seed = 2, .restarts = 5});
  ASSERT_EQ(result.restarts.size(), 5U);
  double best = INFINITY;
  std::int64_t evaluations = 0;
  for (const RestartSummary& restart : result.restarts) {
    best = std::min(best, restart.objective);
    evaluations += restart.evaluations;
  }
  EXPECT_EQ(result.objective, best);
  EXPECT_GT(result.restarts.front().evaluations, 0);
  EXPECT_EQ(evaluations, result.counts.evaluations);
  EXPECT_EQ(result.restarts[static_cast<std::size_t>(result.best_restart)].objective, best);
  const Iteration& from = result.history[static_cast<std::size_t>(result.best_iteration)];
  EXPECT_EQ(from.assignment, result.partition.assignment());
  EXPECT_EQ(from.loss.values, result.loss.values);
  EXPECT_EQ(result.curve.back().objective, best);
}

TEST(D2c, TheCurveFallsAndEndsWithinTheEvaluations) {
  const SearchResult result = run("d2c", random_points(40, 6, 3, 0.6, 1), {.k = 6, .seed = 2});
  for (std::size_t i = 1; i < result.curve.size(); ++i) {
    EXPECT_LT(result.curve[i].objective, result.curve[i - 1].objective);
    EXPECT_GE(result.curve[i].evaluations, result.curve[i - 1].evaluations);
  }
  EXPECT_LE(result.curve.back().evaluations, result.counts.evaluations);
}

TEST(D2c, ASeedDecidesTheWholeRunAndRestartsAreIndependent) {
  const Points points = random_points(30, 5, 3, 0.5, 4);
  const SearchResult a = run("d2c", points, {.k = 5, .seed = 7, .restarts = 3});
  const SearchResult b = run("d2c", points, {.k = 5, .seed = 7, .restarts = 3});
  EXPECT_EQ(a.partition, b.partition);
  EXPECT_EQ(a.loss.values, b.loss.values);
  EXPECT_EQ(a.counts.evaluations, b.counts.evaluations);
  const SearchResult one = run("d2c", points, {.k = 5, .seed = 7, .restarts = 1});
  EXPECT_EQ(one.restarts[0].objective, a.restarts[0].objective);
  EXPECT_NE(a.restarts[0].stream, a.restarts[1].stream);
}

TEST(D2c, ARunContinuedFromItsSavedLossesRepeatsItExactlyWithoutMeasuring) {
  const Points points = random_points(30, 5, 3, 0.5, 4);
  const Objective objective(ObjectiveKind::loss, 30);
  FunctionOracle first_inner = points.oracle();
  CachedOracle first(first_inner);
  const SearchOptions options{.k = 5, .seed = 7, .restarts = 3, .max_evaluations = 700};
  const SearchResult a = d2c_search({first, objective}, options);

  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  oracle.restore(first.save());
  const SearchResult b = d2c_search({oracle, objective}, options);
  EXPECT_EQ(inner.calls, 0);
  EXPECT_EQ(b.partition, a.partition);
  EXPECT_EQ(b.counts.evaluations, a.counts.evaluations);
  EXPECT_EQ(b.counts.measured(), 0);
  EXPECT_EQ(b.restarts.size(), a.restarts.size());
}

TEST(D2c, OneClusterManyClustersAndOneTaskWork) {
  const Points points = random_points(7, 3, 2, 0.5, 5);
  for (int k = 1; k <= 7; ++k) {
    const SearchResult result = run("d2c", points, {.k = k, .seed = 1});
    EXPECT_EQ(result.partition.n_nonempty(), k);
    for (const double loss : result.loss.values) EXPECT_TRUE(std::isfinite(loss));
  }
  const SearchResult every = run("d2c", points, {.k = 7, .seed = 1});
  double floors = 0;
  for (const double floor : points.floor) floors += floor;
  EXPECT_DOUBLE_EQ(every.objective, floors / 7);
  EXPECT_EQ(run("d2c", random_points(1, 1, 2, 0.5, 5), {.k = 1}).partition.assignment(),
            Assignment{0});
}

TEST(D2c, EmptyClustersAreRefilledOrLeftAsAsked) {
  const Points same{std::vector<std::vector<double>>(6, {1.0}), std::vector<double>(6, 1.0)};
  EXPECT_EQ(run("d2c", same, {.k = 3, .seed = 1}).partition.n_nonempty(), 3);
  const SearchResult result =
      run("d2c", same,
          {.k = 3, .seed = 1, .empty = EmptyClusters::allow, .starts = {{1, 1, 1, 1, 1, 1}}});
  for (const TaskId task : ids<TaskId>(6)) EXPECT_TRUE(std::isnan(result.loss(task, 2)));
}

TEST(D2c, ARefilledClusterGetsTheTaskOfTheLargestRegret) {
  // Task 3 lies far from all others; cluster 0 of the start is bad for everybody.
  const Points points{{{0.0}, {0.1}, {0.0}, {5.0}}, {1, 1, 1, 1}};
  FunctionOracle inner(4, [&](const TaskSet& set, TaskId task, int) {
    return set == TaskSet{0} ? 99.0 : points.loss(set, task);
  });
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 4);
  const SearchResult result =
      d2c_search({oracle, objective}, {.k = 2, .restarts = 0, .starts = {{0, 1, 1, 1}}});
  EXPECT_EQ(result.history[1].assignment, (Assignment{0, 0, 0, 1}));
  EXPECT_EQ(result.partition.assignment(), (Assignment{0, 0, 0, 1}));
}

TEST(D2c, ACycleEndsTheRestart) {
  // Every task prefers a cluster that it is not in.
  FunctionOracle inner(4, [](const TaskSet& set, TaskId task, int) {
    return std::binary_search(set.begin(), set.end(), task) ? 2.0 : 1.0;
  });
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 4);
  const SearchResult result =
      d2c_search({oracle, objective}, {.k = 2, .restarts = 0, .starts = {{0, 1, 0, 1}}});
  ASSERT_EQ(result.restarts.size(), 1U);
  EXPECT_EQ(result.restarts[0].stop, StopReason::repeated);
  EXPECT_EQ(result.restarts[0].iterations, 1);
}

TEST(D2c, StopsAtTheLimitsAndSaysWhy) {
  const Points points = random_points(40, 6, 3, 0.8, 1);
  const SearchResult iterations =
      run("d2c", points, {.k = 6, .seed = 2, .restarts = 1, .max_iterations = 1});
  EXPECT_EQ(iterations.restarts[0].stop, StopReason::max_iterations);
  const SearchResult budget = run("d2c", points, {.k = 6, .seed = 2, .max_evaluations = 300});
  EXPECT_EQ(budget.restarts.back().stop, StopReason::max_evaluations);
  EXPECT_LT(budget.counts.evaluations, 300 + 40 * 6 + 40);

  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 40);
  int asked = 0;
  Problem problem{oracle, objective};
  problem.stop = [&] { return ++asked == 2; };
  const SearchResult stopped = d2c_search(problem, {.k = 6, .seed = 2});
  EXPECT_EQ(stopped.restarts.back().stop, StopReason::stopped);
  EXPECT_EQ(stopped.restarts.size(), 1U);
}

TEST(D2c, TheObserverSeesEveryIteration) {
  struct Counter : Observer {
    int n = 0;
    double best = INFINITY;
    void on_iteration(const Progress& progress) override {
      ++n;
      EXPECT_EQ(progress.search, "d2c");
      EXPECT_LE(progress.best, std::min(best, progress.objective));
      best = progress.best;
    }
  } counter;
  const Points points = random_points(20, 4, 3, 0.5, 1);
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 20);
  Problem problem{oracle, objective};
  problem.observer = &counter;
  const SearchResult result = d2c_search(problem, {.k = 4, .restarts = 3});
  int iterations = 0;
  for (const RestartSummary& restart : result.restarts) iterations += restart.iterations;
  EXPECT_EQ(counter.n, iterations);
  EXPECT_EQ(counter.best, result.objective);
}

TEST(D2c, RefusesOptionsThatDoNotFit) {
  const Points points = random_points(5, 2, 2, 0.5, 1);
  D2C_EXPECT_ERROR((void)run("d2c", points, {.k = 0}), UsageError, "0 clusters", "1 or more");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.k = 6}), UsageError, "6 clusters", "5 tasks",
                   "5 or less");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.k = 2, .restarts = -1}), UsageError, "-1 restarts");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.k = 2, .starts = {{0, 1, 2, 0, 0}}}), UsageError,
                   "start");
}

}  // namespace
}  // namespace d2c::cluster
