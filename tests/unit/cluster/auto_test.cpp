#include <algorithm>
#include <cmath>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

TEST(Auto, FindsTheOptimumOfSmallInstances) {
  int n = 0;
  int optimal = 0;
  for (int n_tasks = 6; n_tasks <= 9; ++n_tasks)
    for (const int k : {2, 3, 4})
      for (std::uint64_t seed = 0; seed < 5; ++seed) {
        const Points points = random_points(n_tasks, 4, 2, 0.5, 100 + seed);
        const SearchOptions options{.k = k, .seed = seed, .matrix = ResultMatrix::members};
        const double best = run("exhaustive", points, options).objective;
        const double found = run("auto", points, options, seed % 2 == 0).objective;
        EXPECT_GE(found, best * (1 - 1e-12));
        EXPECT_LE(found, best * 1.01) << n_tasks << " tasks, k " << k << ", seed " << seed;
        ++n;
        optimal += found <= best * (1 + 1e-12) ? 1 : 0;
      }
  EXPECT_GE(optimal, 0.95 * n) << optimal << " of " << n;
}

TEST(Auto, ReachesTheQualityOfTenRestartsOfD2cWithAThirdOfTheEvaluations) {
  double ratio = 0;
  constexpr int n = 6;
  for (std::uint64_t seed = 0; seed < n; ++seed) {
    const Points points = random_points(60, 8, 6, 0.5, 1000 + seed);
    const SearchOptions options{.k = 8, .seed = seed};
    const SearchResult d2c = run("d2c", points, options);
    const SearchResult found = run("auto", points, options, false);
    ASSERT_LE(found.objective, d2c.objective * (1 + 1e-9)) << "seed " << seed;
    const auto reached = std::find_if(
        found.curve.begin(), found.curve.end(),
        [&](const CurvePoint& point) { return point.objective <= d2c.objective * (1 + 1e-9); });
    ratio +=
        static_cast<double>(reached->evaluations) / static_cast<double>(d2c.counts.evaluations) / n;
  }
  RecordProperty("ratio", std::to_string(ratio));
  EXPECT_LT(ratio, 1.0 / 3);
}

TEST(Auto, WithASimilarityATenthOfTheEvaluationsReachesTheQualityOfTenRestartsOfD2c) {
  double ratio = 0;
  constexpr int n = 6;
  for (std::uint64_t seed = 0; seed < n; ++seed) {
    const Points points = random_points(60, 8, 6, 0.5, 1000 + seed);
    const SearchOptions options{.k = 8, .seed = seed};
    const SearchResult d2c = run("d2c", points, options);
    const SearchResult found = run("auto", points, options);
    ASSERT_LE(found.objective, d2c.objective * (1 + 1e-9)) << "seed " << seed;
    const auto reached = std::find_if(
        found.curve.begin(), found.curve.end(),
        [&](const CurvePoint& point) { return point.objective <= d2c.objective * (1 + 1e-9); });
    ratio +=
        static_cast<double>(reached->evaluations) / static_cast<double>(d2c.counts.evaluations) / n;
  }
  RecordProperty("ratio", std::to_string(ratio));
  EXPECT_LT(ratio, 0.1);
}

TEST(AgglomerativeLoss, BeatsAverageLinkageForLessThanOneIterationOfPairs) {
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const Points points = random_points(60, 12, 6, 0.8, 1000 + seed);
    const SearchOptions options{.k = 6, .seed = seed, .matrix = ResultMatrix::members};
    const SearchResult linkage = run("agglomerative", points, options);
    const SearchResult found = run("agglomerative_loss", points, options);
    EXPECT_LT(found.objective, linkage.objective) << "seed " << seed;
    EXPECT_LT(found.counts.evaluations, 60 * 60) << "seed " << seed;
  }
}

TEST(Auto, IsNeverWorseThanAnyStart) {
  const Points points = random_points(30, 6, 3, 0.7, 2);
  const SearchResult good = run("d2c", points, {.k = 5, .seed = 3});
  const SearchResult found =
      run("auto", points, {.k = 5, .max_evaluations = 1, .starts = {good.partition.assignment()}});
  EXPECT_LE(found.objective, good.objective);
}

TEST(Auto, TheBestObjectiveOnlyFalls) {
  const SearchResult result = run("auto", random_points(40, 6, 4, 0.6, 5), {.k = 6, .seed = 1});
  ASSERT_GE(result.curve.size(), 2U);
  for (std::size_t i = 1; i < result.curve.size(); ++i) {
    EXPECT_LT(result.curve[i].objective, result.curve[i - 1].objective);
    EXPECT_GE(result.curve[i].evaluations, result.curve[i - 1].evaluations);
  }
  EXPECT_EQ(result.curve.back().objective, result.objective);
}

TEST(Auto, TheObjectiveIsThatOfTheReturnedPartition) {
  const Points points = random_points(30, 5, 4, 0.6, 5);
  const SearchResult result = run("auto", points, {.k = 5, .seed = 1});
  double sum = 0;
  for (const TaskId task : ids<TaskId>(30))
    sum += points.loss(result.partition.members(result.partition[task]), task);
  EXPECT_NEAR(result.objective, sum / 30, 1e-12);
  for (const TaskId task : ids<TaskId>(30))
    for (const ClusterId k : ids<ClusterId>(result.partition.n_nonempty()))
      EXPECT_EQ(result.loss(task, k), points.loss(result.partition.members(k), task));
}

TEST(Auto, IsAsGoodWhenTasksAreRenamed) {
  const Points points = random_points(20, 4, 4, 0.1, 9);
  const auto renamed_from = [](TaskId task) { return TaskId((task.value() + 7) % 20); };
  Points renamed = points;
  for (const TaskId task : points.tasks()) {
    renamed.x[task] = points.x[renamed_from(task)];
    renamed.floor[task] = points.floor[renamed_from(task)];
  }
  const SearchResult a = run("auto", points, {.k = 4});
  const SearchResult b = run("auto", renamed, {.k = 4});
  EXPECT_NEAR(a.objective, b.objective, 1e-12);
  Assignment back(20);
  for (const TaskId task : back.ids()) back[renamed_from(task)] = b.partition[task];
  EXPECT_EQ(Partition(back, 4).canonical(), a.partition);
}

TEST(Auto, EveryKWorksAndMoreClustersAreNoWorse) {
  const Points points = random_points(12, 4, 3, 0.5, 5);
  double before = INFINITY;
  for (int k = 1; k <= 12; ++k) {
    const SearchResult result = run("auto", points, {.k = k});
    EXPECT_LE(result.objective, before * (1 + 1e-12)) << "k " << k;
    before = result.objective;
  }
}

TEST(Auto, IdenticalTasksAndDuplicateAdaptersEnd) {
  const Points same{std::vector<std::vector<double>>(10, {1.0, 2.0}), std::vector<double>(10, 1.0)};
  EXPECT_DOUBLE_EQ(run("auto", same, {.k = 3}).objective, 1.0);
  Points pairs = random_points(10, 10, 3, 0.5, 4);
  for (int i = 0; i < 5; ++i) pairs.x[TaskId(i + 5)] = pairs.x[TaskId(i)];
  const SearchResult result = run("auto", pairs, {.k = 5});
  for (const TaskId task : ids<TaskId>(5))
    EXPECT_EQ(result.partition[task], result.partition[TaskId(task.value() + 5)]);
}

TEST(Auto, LeavesClustersEmptyWhereMergingHelpsEveryTask) {
  // The more adapters are merged, the lower every loss.
  FunctionOracle inner(
      10, [](const TaskSet& set, TaskId, int) { return 1.0 / static_cast<double>(set.size()); });
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 10);
  const SearchResult result = search_method("auto").run({oracle, objective}, {.k = 4});
  EXPECT_EQ(result.partition.n_nonempty(), 1);
  EXPECT_TRUE(std::isnan(result.loss(0, 1)));
}

TEST(Auto, TasksWhoseOwnAdapterIsWorseThanTheBaseModelAreServed) {
  Points points = random_points(16, 4, 3, 0.3, 8);
  FunctionOracle inner(16, [&](const TaskSet& set, TaskId task, int) {
    return points.loss(set, task) + (set == TaskSet{task} && task.value() < 4 ? 50.0 : 0.0);
  });
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::gain, 16, {}, {points.base(), oracle.own_losses()});
  EXPECT_GE(objective.helpless().size(), 4U);
  const SearchResult result = search_method("auto").run({oracle, objective}, {.k = 5});
  EXPECT_TRUE(std::isfinite(result.objective));
  for (const TaskId task : ids<TaskId>(4))
    EXPECT_GT(result.partition.sizes()[result.partition[task]], 1);
}

TEST(Auto, MinimaxIsNoWorseForTheWorstTaskThanTheMean) {
  const Points points = random_points(24, 6, 3, 0.6, 3);
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  std::vector<double> base(24, 10.0);
  const Objective mean(ObjectiveKind::gain, 24, {}, {base, oracle.own_losses()});
  const Objective worst(ObjectiveKind::worst, 24, {}, {base, oracle.own_losses()});
  const SearchResult by_mean = search_method("auto").run({oracle, mean}, {.k = 5});
  const SearchResult by_worst = search_method("auto").run(
      {oracle, worst}, {.k = 5, .starts = {by_mean.partition.assignment()}});
  EXPECT_LE(by_worst.objective, worst.score(by_mean.loss.of(by_mean.partition)).value);
}

TEST(Auto, RepeatsItselfExactlyAndFromSavedLosses) {
  const Points points = random_points(30, 5, 3, 0.6, 6);
  const Objective objective(ObjectiveKind::loss, 30);
  const SearchOptions options{.k = 5, .seed = 2, .max_evaluations = 1500};
  FunctionOracle first_inner = points.oracle();
  CachedOracle first(first_inner);
  const SearchResult a = search_method("auto").run({first, objective}, options);
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  oracle.restore(first.save());
  const SearchResult b = search_method("auto").run({oracle, objective}, options);
  EXPECT_EQ(inner.calls, 0);
  EXPECT_EQ(a.partition, b.partition);
  EXPECT_EQ(a.loss.values, b.loss.values);
  EXPECT_EQ(a.counts.evaluations, b.counts.evaluations);
  ASSERT_EQ(a.curve.size(), b.curve.size());
}

TEST(Auto, StopsWithinItsBudgetAndWhenToldTo) {
  const Points points = random_points(50, 8, 4, 0.7, 6);
  constexpr std::int64_t step = 50 * 8;
  for (const std::int64_t budget : {1, 600, 2000}) {
    const SearchResult result = run("auto", points, {.k = 8, .max_evaluations = budget});
    EXPECT_LE(result.counts.evaluations, budget + 50 + 2 * step + step) << budget;
  }
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 50);
  Problem problem{oracle, objective};
  int asked = 0;
  problem.stop = [&] { return ++asked == 5; };
  const SearchResult result = search_method("auto").run(problem, {.k = 8});
  EXPECT_EQ(result.restarts[0].stop, StopReason::stopped);
  EXPECT_EQ(asked, 5);
}

TEST(Auto, OptimisesTheChosenFoldsOnly) {
  // Fold 1 contradicts fold 0: what fold 0 puts together, fold 1 wants apart.
  FunctionOracle inner(
      12,
      [](const TaskSet& set, TaskId task, int fold) {
        double other = 0;
        for (const TaskId member : set)
          other += (member.value() / 6 == task.value() / 6) == (fold == 0) ? 0 : 1;
        return other / static_cast<double>(set.size());
      },
      2);
  CachedOracle oracle(inner, {.choose = {0}, .weights = {}});
  const Objective objective(ObjectiveKind::loss, 12);
  const SearchResult result = search_method("auto").run({oracle, objective}, {.k = 2});
  EXPECT_EQ(result.objective, 0);
  EXPECT_EQ(result.partition.assignment(), (Assignment{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
  const std::int64_t before = inner.measured();
  const LossMatrix unseen = verify(oracle, result);
  for (const TaskId task : ids<TaskId>(12)) {
    EXPECT_EQ(unseen(task, result.partition[task]), 1);
    EXPECT_EQ(unseen(task, ClusterId(1 - result.partition[task].value())), 0);
  }
  EXPECT_EQ(inner.measured(), before);
}

}  // namespace
}  // namespace d2c::cluster
