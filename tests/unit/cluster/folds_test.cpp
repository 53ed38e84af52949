#include "d2c/cluster/folds.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

using testing::Each;
using testing::ElementsAre;

TEST(ExampleFolds, WithoutKeptExamplesExampleIIsInFoldIModuloTheNumberOfFolds) {
  EXPECT_THAT(numbers_of(ExampleFolds{.choose = 3}.of(7)), ElementsAre(0, 1, 2, 0, 1, 2, 0));
  EXPECT_THAT(numbers_of(ExampleFolds{}.of(4)), Each(0));
}

TEST(ExampleFolds, KeepExactlyAsManyAsAskedForAndSpreadThemEvenly) {
  for (int n = 1; n < 40; ++n) {
    for (int kept = 0; kept < n; ++kept) {
      const ExampleFolds folds{.choose = 2, .verify = kept};
      const std::vector<int> of = numbers_of(folds.of(n));
      EXPECT_EQ(std::count(of.begin(), of.end(), 2), kept) << n;
      const auto in = [&of](int fold) { return std::count(of.begin(), of.end(), fold); };
      EXPECT_LE(in(0) - in(1), 1) << n;
      EXPECT_GE(in(0) - in(1), 0) << n;
      // No stretch of examples has more than its share of kept ones, rounded up.
      for (int begin = 0; kept > 0 && begin < n; ++begin)
        for (int end = begin + 1; end <= n; ++end)
          EXPECT_LE(std::count(of.begin() + begin, of.begin() + end, 2),
                    ((end - begin) * kept + n - 1) / n + 1);
    }
  }
  EXPECT_THAT(numbers_of(ExampleFolds{.choose = 1, .verify = 2}.of(6)),
              ElementsAre(0, 0, 1, 0, 0, 1));
}

TEST(ExampleFolds, WeighEveryExampleOfATaskAlike) {
  const std::vector<std::int64_t> n_examples = {5, 8};
  const ExampleFolds folds{.choose = 2, .verify = 1};
  FunctionOracle oracle(
      2, [](const TaskSet&, TaskId, int fold) { return fold == 0   ? 1.0
                                                       : fold == 1 ? 2.0
                                                                   : 7.0; },
      3);
  CachedOracle cache(oracle, folds.split(n_examples));
  const std::vector<TaskSet> sets = {{0, 1}};
  const std::vector<Query> queries = {{0, 0}, {0, 1}};
  EXPECT_THAT(cache.losses(sets, queries), ElementsAre(6.0 / 4, 10.0 / 7));
  EXPECT_THAT(cache.verify_losses(sets, queries), Each(7.0));
}

TEST(ExampleFolds, TheMeanOfOneFoldIsItsLossToTheLastBit) {
  const double loss = 0.1;  // 10 * 0.1 / 10 rounds for some weights
  FunctionOracle oracle(
      1, [loss](const TaskSet&, TaskId, int) { return loss; }, 2);
  for (std::int64_t n = 2; n < 60; ++n) {
    const CachedOracle cache(oracle, ExampleFolds{.choose = 1, .verify = 1}.split({n}));
    const std::vector<double> folds = {loss, 3.0};
    EXPECT_EQ(cache.mean_of_chosen(folds)[0], loss);
    EXPECT_EQ(cache.mean_of_others(folds)[0], 3.0);
  }
}

}  // namespace
}  // namespace d2c::cluster
