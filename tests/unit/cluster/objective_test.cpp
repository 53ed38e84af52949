#include "d2c/cluster/objective.hpp"

#include <cmath>

#include "d2c/core/error.hpp"

#include "test_support.hpp"

namespace d2c::cluster {
namespace {

TEST(Objective, LossIsTheWeightedMean) {
  const Objective objective(ObjectiveKind::loss, 3, {1, 2, 0});
  EXPECT_DOUBLE_EQ(objective.score(std::vector<double>{3, 6, 100}).value, 5);
}

TEST(Objective, GainIsZeroCostAtTheOwnAdapterAndOneAtTheBase) {
  const References references{{4, 3}, {2, 1}};
  const Objective objective(ObjectiveKind::gain, 2, {}, references);
  EXPECT_DOUBLE_EQ(objective.score(references.own).value, 0);
  EXPECT_DOUBLE_EQ(objective.score(references.base).value, 1);
  EXPECT_DOUBLE_EQ(objective.gain(0, 3), 0.5);
}

TEST(Objective, WorstIsTheLargestCostAndTiesFallToTheMean) {
  const Objective objective(ObjectiveKind::worst, 3, {}, {{2, 2, 2}, {1, 1, 1}});
  const Score a = objective.score(std::vector<double>{1.5, 1.2, 1.3});
  const Score b = objective.score(std::vector<double>{1.5, 1.2, 1.1});
  EXPECT_DOUBLE_EQ(a.value, 0.5);
  EXPECT_DOUBLE_EQ(b.value, 0.5);
  EXPECT_LT(b, a);
}

TEST(Objective, ATaskWhoseAdapterDoesNotHelpIsReportedAndScaledByTheMedianOfTheOthers) {
  const Objective objective(ObjectiveKind::gain, 4, {}, {{2, 5, 3, 1}, {1, 2, 1, 1.5}});
  EXPECT_EQ(objective.helpless(), std::vector<TaskId>{3});
  EXPECT_TRUE(std::isnan(objective.gain(3, 1.2)));
  EXPECT_DOUBLE_EQ(objective.cost(3, 2.5), 0.5);
  EXPECT_DOUBLE_EQ(objective.cost(1, 3.5), 0.5);
}

TEST(Objective, StaysFiniteWhenNoAdapterHelps) {
  const Objective objective(ObjectiveKind::gain, 2, {}, {{1, 1}, {1, 2}});
  EXPECT_EQ(objective.helpless().size(), 2U);
  EXPECT_DOUBLE_EQ(objective.score(std::vector<double>{2, 2}).value, 0.5);
}

TEST(Objective, RefusesWeightsThatMakeNoMean) {
  D2C_EXPECT_ERROR(Objective(ObjectiveKind::loss, 2, {1, -1}), UsageError, "task 1", "-1");
  D2C_EXPECT_ERROR(Objective(ObjectiveKind::loss, 2, {0, 0}), UsageError, "all tasks are 0");
  D2C_EXPECT_ERROR(Objective(ObjectiveKind::loss, 1, {std::nan("")}), UsageError, "nan");
}

}  // namespace
}  // namespace d2c::cluster
