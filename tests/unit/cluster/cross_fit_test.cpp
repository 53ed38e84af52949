#include "d2c/cluster/cross_fit.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/registry.hpp"

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

constexpr int n = 12;
constexpr int k = 3;

/// A number in [-1, 1] that depends on everything.
double noise(const TaskSet& set, TaskId task, int fold) {
  double sum = 1.7 * task.value() + 5.3 * fold;
  for (const TaskId member : set)
    sum += std::sin(3.1 * member.value() + 0.9 * task.value() * (fold + 1));
  return std::sin(97.0 * sum);
}

std::function<std::vector<SearchResult>(const Problem&)> searching(const char* name) {
  return [name](const Problem& problem) {
    SearchOptions options;
    options.k = k;
    options.restarts = 2;
    return std::vector{search_method(name).run(problem, options)};
  };
}

class CrossFitTest : public testing::Test {
 protected:
  Points points = random_points(n, k, 3, 0.7, 5);
  [[nodiscard]] double loss(const TaskSet& set, TaskId task, int fold) const {
    return points.loss(set, task) + 0.3 * noise(set, task, fold);
  }
};

TEST_F(CrossFitTest, EqualsSearchesThatNeverHeardOfTheFold) {
  // Three parts and one that is kept from everything; tasks have 4 to 9 examples.
  const ExampleFolds folds{.choose = 3, .verify = 1};
  std::vector<std::int64_t> examples;
  for (int task = 0; task < n; ++task) examples.push_back(4 + task % 6);
  const FoldSplit split = folds.split(examples);
  std::vector<double> base;
  std::vector<double> own;
  for (const TaskId task : ids<TaskId>(n))
    for (int fold = 0; fold < 4; ++fold) {
      base.push_back(points.base()[task] + 0.1 * fold);
      own.push_back(loss({task}, task, fold));
    }
  const auto weight = [&](TaskId task, int fold) { return split.weights(task, FoldId(fold)); };
  for (const auto kind : {ObjectiveKind::loss, ObjectiveKind::gain}) {
    FunctionOracle oracle(
        n, [&](const TaskSet& s, TaskId t, int f) { return loss(s, t, f); }, 4);
    CrossFitProblem problem{.oracle = oracle, .folds = split, .objective = kind};
    problem.base = base;
    problem.own = own;
    std::vector<CachedOracle::Entry> known;
    const auto fit = cross_fit(problem, searching("d2c"), known);
    ASSERT_TRUE(fit.has_value());

    IdVector<TaskId, double> expected(n, 0.0);
    IdVector<TaskId, double> total(n, 0.0);
    for (int left_out = 0; left_out < 3; ++left_out) {
      const auto rest = [&](TaskId task, const std::function<double(int)>& value) {
        double sum = 0;
        double count = 0;
        for (int fold = 0; fold < 3; ++fold) {
          if (fold == left_out) continue;
          sum += weight(task, fold) * value(fold);
          count += weight(task, fold);
        }
        return sum / count;
      };
      FunctionOracle alone(n, [&](const TaskSet& set, TaskId task, int) {
        return rest(task, [&](int fold) { return loss(set, task, fold); });
      });
      References references;
      for (const TaskId task : ids<TaskId>(n)) {
        const auto of = [&](const std::vector<double>& values) {
          return rest(task, [&](int fold) {
            return values[4 * task.index() + static_cast<std::size_t>(fold)];
          });
        };
        references.base.push_back(of(base));
        references.own.push_back(of(own));
      }
      CachedOracle cache(alone);
      const Objective objective(kind, n, {}, references);
      const SearchResult found = searching("d2c")({.oracle = cache, .objective = objective})[0];
      const auto f = static_cast<std::size_t>(left_out);
      EXPECT_EQ(fit->partitions[0][f].assignment(), found.partition.assignment());
      EXPECT_NEAR(fit->objectives[0][f], found.objective, 1e-12);
      for (const TaskId task : ids<TaskId>(n)) {
        expected[task] += weight(task, left_out) *
                          loss(found.partition.members(found.partition[task]), task, left_out);
        total[task] += weight(task, left_out);
      }
    }
    for (const TaskId task : expected.ids())
      EXPECT_NEAR(fit->losses[0][task], expected[task] / total[task], 1e-12) << task.value();
  }
}

TEST_F(CrossFitTest, WhereAllExamplesAreAlikeNothingNewIsMeasured) {
  FunctionOracle oracle(
      n, [&](const TaskSet& s, TaskId t, int) { return points.loss(s, t); }, 5);
  const FoldSplit split =
      ExampleFolds{.choose = 5}.split(std::vector<std::int64_t>(n, std::int64_t{10}));
  const Objective objective(ObjectiveKind::loss, n);
  CachedOracle cache(oracle, split);
  const SearchResult all = searching("d2c")({.oracle = cache, .objective = objective})[0];
  std::vector<CachedOracle::Entry> known = cache.save();
  const auto fit = cross_fit({.oracle = oracle, .folds = split}, searching("d2c"), known);
  ASSERT_TRUE(fit.has_value());
  EXPECT_EQ(fit->measured, 0);
  EXPECT_EQ(fit->evaluations, 5 * all.counts.evaluations);
  const IdVector<TaskId, double> expected = all.loss.of(all.partition);
  for (const TaskId t : expected.ids()) EXPECT_NEAR(fit->losses[0][t], expected[t], 1e-12);
}

TEST_F(CrossFitTest, IsHonestWhereTheSearchIsNot) {
  // Nothing to find but noise: on examples that it saw the search looks good, on others it is not.
  double seen = 0;
  double unseen = 0;
  constexpr int trials = 40;
  for (int trial = 0; trial < trials; ++trial) {
    FunctionOracle oracle(
        n, [&](const TaskSet& s, TaskId t, int f) { return 2.0 + noise(s, t, f + 10 * trial); }, 5);
    const FoldSplit split =
        ExampleFolds{.choose = 5}.split(std::vector<std::int64_t>(n, std::int64_t{10}));
    std::vector<CachedOracle::Entry> known;
    const auto fit = cross_fit({.oracle = oracle, .folds = split}, searching("d2c"), known);
    ASSERT_TRUE(fit.has_value());
    for (const double loss : fit->losses[0]) unseen += loss / (n * trials);
    for (const double objective : fit->objectives[0]) seen += objective / (5 * trials);
  }
  EXPECT_LT(seen, 1.8);
  // 40 trials of 60 losses with standard deviation 0.7, not all independent.
  EXPECT_NEAR(unseen, 2.0, 0.05);
}

TEST_F(CrossFitTest, FoldsThatAreKeptFromTheSearchChangeNothing) {
  const FoldSplit split =
      ExampleFolds{.choose = 3, .verify = 2}.split(std::vector<std::int64_t>(n, std::int64_t{8}));
  std::vector<IdVector<TaskId, double>> losses;
  for (const double other : {0.0, 50.0}) {
    FunctionOracle oracle(
        n,
        [&](const TaskSet& s, TaskId t, int f) {
          return f == 3 ? other + s.size() : loss(s, t, f);
        },
        4);
    std::vector<CachedOracle::Entry> known;
    losses.push_back(
        cross_fit({.oracle = oracle, .folds = split}, searching("d2c"), known)->losses[0]);
  }
  EXPECT_EQ(losses[0], losses[1]);
}

TEST_F(CrossFitTest, NothingComesOfASearchThatWasStopped) {
  FunctionOracle oracle(
      n, [&](const TaskSet& s, TaskId t, int f) { return loss(s, t, f); }, 2);
  const FoldSplit split =
      ExampleFolds{.choose = 2}.split(std::vector<std::int64_t>(n, std::int64_t{10}));
  int asked = 0;
  CrossFitProblem problem{.oracle = oracle, .folds = split};
  problem.stop = [&](const CachedOracle&) { return ++asked > 6; };
  std::vector<CachedOracle::Entry> known;
  EXPECT_FALSE(cross_fit(problem, searching("d2c"), known).has_value());
}

TEST(AdjustedRandIndex, IsOneForTheSameClustersWhateverTheirNumbers) {
  const Partition a({0, 0, 1, 1, 2, 2}, 3);
  EXPECT_DOUBLE_EQ(adjusted_rand_index(a, a), 1);
  EXPECT_DOUBLE_EQ(adjusted_rand_index(a, Partition({3, 3, 0, 0, 1, 1}, 4)), 1);
  EXPECT_DOUBLE_EQ(adjusted_rand_index(Partition({0, 0}, 1), Partition({0, 0}, 1)), 1);
}

TEST(AdjustedRandIndex, EqualsTheFormulaWorkedOutByHand) {
  // Pairs together: 3 in a, 6 in b, 2 in both, of 15: (2 - 18/15) / (4.5 - 18/15).
  const Partition a({0, 0, 1, 1, 2, 2}, 3);
  const Partition b({0, 0, 0, 1, 1, 1}, 2);
  EXPECT_NEAR(adjusted_rand_index(a, b), 0.8 / 3.3, 1e-12);
}

}  // namespace
}  // namespace d2c::cluster
