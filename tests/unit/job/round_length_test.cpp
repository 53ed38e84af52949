#include "engine/round_length.hpp"

#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace d2c::job {
namespace {

TEST(RoundLength, GrowsAndShrinksWithWhatPiecesCost) {
  const std::vector<double> small(1000, 1.0);
  RoundLength length(4, 20.0);
  EXPECT_EQ(length.next(small), 4U);
  length.learn(4.0, 1.0);
  EXPECT_EQ(length.next(small), 8U);
  length.learn(8.0, 2.0);
  EXPECT_EQ(length.next(small), 16U);
  length.learn(16.0, 15.0);
  EXPECT_EQ(length.next(small), 16U);
  length.learn(16.0, 25.0);
  EXPECT_EQ(length.next(small), 8U);
  EXPECT_EQ(length.next({small.data(), 3}), 3U);
  EXPECT_EQ(length.next({}), 0U);
}

TEST(RoundLength, HasFewPiecesWhereThoseThatFollowCostMuch) {
  RoundLength length(2, 20.0);
  length.learn(600.0, 9.0);
  std::vector<double> costs(500, 1.0);
  costs.resize(1000, 1000.0);
  EXPECT_EQ(length.next(costs), 500U);
  // One for each rank, whatever they cost.
  EXPECT_EQ(length.next(std::span(costs).subspan(500)), 2U);
}

}  // namespace
}  // namespace d2c::job
