#include "d2c/cluster/sweep.hpp"

#include <cmath>
#include <numeric>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

/// 1 .. most
std::vector<int> up_to(int most) {
  std::vector<int> ks(static_cast<std::size_t>(most));
  std::iota(ks.begin(), ks.end(), 1);
  return ks;
}

Sweep sweep(const Points& points, const std::vector<int>& ks, const SearchOptions& options = {}) {
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, points.n_tasks());
  return sweep_k({oracle, objective}, options, ks);
}

/// Four groups of equal size at the corners of a square.
Points square(double spread) {
  Points points{{}, std::vector<double>(20, 1.0)};
  CounterRng rng(3, 1);
  for (int task = 0; task < 20; ++task)
    points.x.push_back(
        {task % 2 * 4.0 + spread * rng.normal(), task / 2 % 2 * 4.0 + spread * rng.normal()});
  return points;
}

TEST(Sweep, MoreClustersAreNeverWorseAndTheKneeIsTheTrueNumber) {
  const Sweep result = sweep(square(0.1), up_to(8));
  ASSERT_EQ(result.results.size(), 8U);
  const std::vector<double> objectives = result.objectives();
  for (std::size_t i = 1; i < objectives.size(); ++i) EXPECT_LE(objectives[i], objectives[i - 1]);
  EXPECT_EQ(result.k[result.knee], 4);
  EXPECT_EQ(result.results[3].partition.sizes(), (IdVector<ClusterId, int>{5, 5, 5, 5}));
}

/// Losses without any order, where a search downwards finds what the one upwards has missed.
TEST(Sweep, MoreClustersAreNeverWorseWhateverIsFoundDownwards) {
  constexpr int n = 12;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    FunctionOracle inner(n, [seed](const TaskSet& set, TaskId task, int) {
      std::uint64_t stream = task.index();
      for (const TaskId member : set) stream |= std::uint64_t{1} << (4 + member.index());
      return CounterRng(seed, stream).uniform();
    });
    CachedOracle oracle(inner);
    const Objective objective(ObjectiveKind::loss, n);
    const std::vector<double> objectives = sweep_k({oracle, objective}, {}, up_to(5)).objectives();
    for (std::size_t i = 1; i < objectives.size(); ++i) {
      EXPECT_LE(objectives[i], objectives[i - 1]) << "seed " << seed << ", k " << i + 1;
    }
  }
}

TEST(Sweep, EveryPointIsAtLeastAsGoodAsASearchForItsKAlone) {
  const Points points = random_points(9, 4, 2, 0.6, 11);
  const Sweep result = sweep(points, up_to(9));
  for (int k = 1; k <= 9; ++k) {
    const SearchResult best = run("exhaustive", points, {.k = k});
    const SearchResult& found = result.results[static_cast<std::size_t>(k) - 1];
    EXPECT_EQ(found.partition.k(), k);
    EXPECT_NEAR(found.objective, best.objective, 1e-9) << k;
  }
}

TEST(Sweep, CostsLessThanItsSearchesAlone) {
  const Points points = random_points(40, 6, 3, 0.4, 2);
  std::int64_t alone = 0;
  for (int k = 1; k <= 8; ++k)
    alone += run("auto", points, {.k = k}, /*similarity=*/false).counts.evaluations;
  const Sweep result = sweep(points, up_to(8));
  EXPECT_LT(result.counts.evaluations, alone);
  EXPECT_EQ(std::accumulate(result.evaluations.begin(), result.evaluations.end(), std::int64_t{0}),
            result.counts.evaluations);
}

TEST(Sweep, StartsAtTheFewestClustersThatTheConstraintsAllow) {
  const Sweep result = sweep(square(0.5), up_to(6), {.constraints = {.max_size = 7}});
  EXPECT_EQ(result.k, (std::vector<int>{3, 4, 5, 6}));
  EXPECT_EQ(result.results.size(), 4U);
  D2C_EXPECT_ERROR((void)sweep(square(0.5), up_to(2), {.constraints = {.max_size = 7}}), UsageError,
                   "2 clusters of at most 7");
}

TEST(Sweep, EndsEarlyWithWhatItHasWhenStopped) {
  const Points points = square(0.5);
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 20);
  Problem problem{oracle, objective};
  bool stop = false;
  int asked = 0;
  problem.stop = [&] { return stop = stop || ++asked > 40; };
  const Sweep result = sweep_k(problem, {}, up_to(8));
  EXPECT_GE(result.results.size(), 1U);
  EXPECT_LT(result.results.size(), 8U);
}

TEST(Sweep, RefusesAnOptionThatDoesNotFit) {
  D2C_EXPECT_ERROR((void)sweep(square(0.5), up_to(21)), UsageError, "21 clusters", "20 tasks");
}

TEST(Sweep, GivenNumbersOfClustersAloneAreSearched) {
  const Sweep result = sweep(square(0.1), {2, 4, 8});
  EXPECT_EQ(result.k, (std::vector<int>{2, 4, 8}));
  EXPECT_EQ(result.k[result.knee], 4);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(result.results[i].partition.k(), result.k[i]);
}

TEST(Knee, IsThePointFarthestBelowTheLine) {
  const auto knee = [](const std::vector<double>& objectives) {
    return knee_of(up_to(static_cast<int>(objectives.size())), objectives);
  };
  EXPECT_EQ(knee({10, 5, 2, 1.8, 1.6, 1.5}), 2U);
  EXPECT_EQ(knee({3, 2, 1}), 0U);
  EXPECT_EQ(knee({2, 2, 2}), 0U);
  EXPECT_EQ(knee({2, 1}), 0U);
  // The same objectives at other numbers of clusters bend elsewhere.
  EXPECT_EQ(knee_of(std::vector<int>{1, 2, 3, 4}, std::vector<double>{4, 2.6, 1.4, 1}), 2U);
  EXPECT_EQ(knee_of(std::vector<int>{1, 2, 9, 10}, std::vector<double>{4, 2.6, 1.4, 1}), 1U);
}

}  // namespace
}  // namespace d2c::cluster
