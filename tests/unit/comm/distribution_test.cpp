#include "d2c/comm/distribution.hpp"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "d2c/core/rng.hpp"

namespace d2c::comm {
namespace {

std::vector<double> random_costs(std::size_t n, std::uint64_t seed) {
  CounterRng rng(seed, 0);
  std::vector<double> costs(n);
  for (double& cost : costs) cost = rng.uniform() * 100;
  return costs;
}

TEST(Balance, GivesEveryItemExactlyOneOwner) {
  for (const int n_ranks : {1, 2, 3, 8, 50}) {
    for (const std::size_t n : {0U, 1U, 7U, 40U}) {
      const auto owners = balance(random_costs(n, n), n_ranks);
      std::size_t total = 0;
      for (int rank = 0; rank < n_ranks; ++rank) total += owned_by(owners, rank).size();
      EXPECT_EQ(owners.size(), n);
      EXPECT_EQ(total, n);
    }
  }
}

TEST(Balance, StaysWithinFourThirdsOfTheLowerBound) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto costs = random_costs(5 + seed, seed);
    for (const int n_ranks : {2, 3, 5}) {
      const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
      const double bound = std::max(total / n_ranks, *std::max_element(costs.begin(), costs.end()));
      const double worst = imbalance(costs, balance(costs, n_ranks), n_ranks) * total / n_ranks;
      // Graham 1969: LPT <= (4/3 - 1/(3m)) OPT; the bound is at most OPT, hence the slack of one
      // item when there are few items per rank.
      EXPECT_LE(worst, 4.0 / 3.0 * bound + *std::max_element(costs.begin(), costs.end()));
    }
  }
}

TEST(Balance, UsesEveryRankWhenThereAreEnoughItems) {
  const std::vector<double> equal(16, 1.0);
  EXPECT_DOUBLE_EQ(imbalance(equal, balance(equal, 8), 8), 1.0);
}

TEST(Cut, LoadsNoRankWithMoreThanTheMeanAndOneItem) {
  CounterRng rng(5, 0);
  for (const std::size_t n : {0U, 1U, 3U, 40U, 1000U}) {
    std::vector<double> costs(n);
    for (double& cost : costs) cost = rng.uniform() < 0.1 ? 0.0 : rng.uniform() * 10;
    const double total = std::accumulate(costs.begin(), costs.end(), 0.0);
    const double largest = n == 0 ? 0.0 : *std::max_element(costs.begin(), costs.end());
    for (const int n_ranks : {1, 2, 3, 8, 50}) {
      const auto begin = cut(costs, n_ranks);
      ASSERT_EQ(std::ssize(begin), n_ranks + 1);
      EXPECT_EQ(begin.front(), 0U);
      EXPECT_EQ(begin.back(), n);
      for (std::size_t rank = 0; rank + 1 < begin.size(); ++rank) {
        ASSERT_LE(begin[rank], begin[rank + 1]);
        const double load =
            std::accumulate(costs.begin() + begin[rank], costs.begin() + begin[rank + 1], 0.0);
        EXPECT_LE(load, total / n_ranks + largest + 1e-9);
      }
    }
  }
}

TEST(Cut, SpreadsItemsWithoutCostEvenly) {
  EXPECT_EQ(cut(std::vector<double>(8, 0.0), 4), (std::vector<std::uint32_t>{0, 2, 4, 6, 8}));
}

TEST(Imbalance, OfNothingIsOne) { EXPECT_EQ(imbalance({}, {}, 4), 1.0); }

}  // namespace
}  // namespace d2c::comm
