#include "losses/known_losses.hpp"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace d2c::job {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::NanSensitiveDoubleEq;
using testing::Pair;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const results::LossKey pair_key{"average", "few_shot", {0, 1}, {0.5, 0.5}};
const results::LossKey scaled{"average", "few_shot", {0, 1}, {0.5, 0.5}, 2.0};

TEST(KnownLosses, AreFoundByTheContentOfTheMergeAndTheTask) {
  KnownLosses known;
  known.add(pair_key, 3, std::vector{3.0, 3.5});
  known.add(pair_key, 1, std::vector{1.0, 1.5});
  known.add(scaled, 1, std::vector{7.0, 7.5});
  EXPECT_THAT(known.find(pair_key, 1), ElementsAre(1.0, 1.5));
  EXPECT_THAT(known.find(pair_key, 3), ElementsAre(3.0, 3.5));
  EXPECT_THAT(known.find(pair_key, 2), IsEmpty());
  EXPECT_THAT(known.find(scaled, 1), ElementsAre(7.0, 7.5));
  EXPECT_THAT(known.find(scaled, 3), IsEmpty());
}

TEST(KnownLosses, WhatIsMissingIsAskedForOnce) {
  KnownLosses known;
  known.add(pair_key, 1, std::vector{1.0});
  const std::vector keys{pair_key, scaled, scaled};
  const std::vector<cluster::Query> queries{{0, 1}, {0, 2}, {1, 5}, {2, 5}, {2, 4}, {1, 5}};
  std::vector<std::pair<std::size_t, TaskId>> missing;
  for (const auto& [set, task] : known.missing(keys, queries)) missing.emplace_back(set, task);
  EXPECT_THAT(missing, ElementsAre(Pair(0, TaskId(2)), Pair(1, TaskId(5)), Pair(1, TaskId(4))));
  known.add(scaled, 5, std::vector{5.0});
  EXPECT_THAT(known.read(keys, queries, 1), ElementsAre(1.0, NanSensitiveDoubleEq(nan), 5.0, 5.0,
                                                        NanSensitiveDoubleEq(nan), 5.0));
}

}  // namespace
}  // namespace d2c::job
