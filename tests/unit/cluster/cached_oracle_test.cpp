#include "d2c/cluster/cached_oracle.hpp"

#include <limits>

#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

double code(const TaskSet& set, TaskId task, int fold) {
  double value = 0;
  for (const TaskId member : set) value = 10 * value + member.value() + 1;
  return 1000 * value + 10 * task.value() + fold;
}

const std::vector<TaskSet> sets{{0, 2}, {1}, {0, 2}};

TEST(CachedOracle, AnswersInTheOrderOfTheQueries) {
  FunctionOracle inner(3, code);
  CachedOracle oracle(inner);
  const std::vector<Query> queries{{1, 2}, {0, 0}, {2, 1}, {1, 0}};
  EXPECT_EQ(oracle.losses(sets, queries), (std::vector<double>{2020, 13000, 13010, 2000}));
}

TEST(CachedOracle, AsksForAllMissingEntriesInOneCallAndNeverTwice) {
  FunctionOracle inner(3, code);
  CachedOracle oracle(inner);
  (void)oracle.losses(sets, std::vector<Query>{{0, 1}, {2, 1}, {1, 1}});
  EXPECT_EQ(inner.calls, 1);
  EXPECT_EQ(inner.measured(), 2);
  EXPECT_EQ(oracle.counts().evaluations, 2);
  EXPECT_EQ(oracle.counts().cached, 1);
  (void)oracle.losses(sets, std::vector<Query>{{0, 0}, {2, 1}, {1, 1}});
  EXPECT_EQ(inner.calls, 2);
  EXPECT_EQ(inner.measured(), 3);
  (void)oracle.losses(sets, std::vector<Query>{{0, 0}});
  EXPECT_EQ(inner.calls, 2);
  EXPECT_EQ(oracle.counts().cached, 4);
}

TEST(CachedOracle, KnowsWhatWasAskedForAndNothingElse) {
  FunctionOracle inner(3, code);
  CachedOracle oracle(inner);
  (void)oracle.losses(sets, std::vector<Query>{{0, 1}});
  EXPECT_EQ(oracle.known({0, 2}, 1), 13010);
  EXPECT_EQ(oracle.known({0, 2}, 0), std::nullopt);
  EXPECT_EQ(oracle.known({1}, 1), std::nullopt);
  EXPECT_EQ(oracle.counts().evaluations, 1);
}

TEST(CachedOracle, RestoredEntriesAreNotMeasuredButCountWhenUsed) {
  FunctionOracle first(3, code);
  CachedOracle saved(first);
  (void)saved.losses(sets, std::vector<Query>{{0, 1}, {1, 1}, {0, 0}});

  FunctionOracle inner(3, code);
  CachedOracle oracle(inner);
  oracle.restore(saved.save());
  EXPECT_EQ(oracle.known({0, 2}, 1), std::nullopt);
  EXPECT_EQ(oracle.losses(sets, std::vector<Query>{{0, 1}, {0, 2}}),
            (std::vector<double>{13010, 13020}));
  EXPECT_EQ(oracle.known({0, 2}, 1), 13010);
  EXPECT_EQ(inner.measured(), 1);
  EXPECT_EQ(oracle.counts().evaluations, 2);
  EXPECT_EQ(oracle.counts().replayed, 1);
  EXPECT_EQ(oracle.counts().measured(), 1);
  EXPECT_EQ(oracle.save().size(), 2U);
}

TEST(CachedOracle, RestoreRefusesWhatDoesNotFit) {
  FunctionOracle inner(3, code);
  CachedOracle oracle(inner);
  using Entries = std::vector<CachedOracle::Entry>;
  D2C_EXPECT_ERROR(oracle.restore(Entries{{{0, 3}, {0}, {1.0}}}), InputError, "tasks 0 3");
  D2C_EXPECT_ERROR(oracle.restore(Entries{{{1, 0}, {0}, {1.0}}}), InputError, "tasks 1 0");
  D2C_EXPECT_ERROR(oracle.restore(Entries{{{}, {0}, {1.0}}}), InputError, "saved losses");
  D2C_EXPECT_ERROR(oracle.restore(Entries{{{0}, {0, 1}, {1.0}}}), InputError, "3 tasks");
  D2C_EXPECT_ERROR(oracle.restore(Entries{{{0}, {0}, {std::numeric_limits<double>::quiet_NaN()}}}),
                   InputError, "saved losses");
}

TEST(CachedOracle, RefusesLossesThatAreNotFinite) {
  FunctionOracle inner(3, [](const TaskSet&, TaskId task, int) {
    return task == 1 ? std::numeric_limits<double>::quiet_NaN() : 1.0;
  });
  CachedOracle oracle(inner);
  D2C_EXPECT_ERROR((void)oracle.losses(sets, std::vector<Query>{{0, 1}}), InputError, "task 1",
                   "tasks 0 2", "nan");
}

TEST(CachedOracle, ChosenFoldsAreAveragedByTheirExamplesAndTheOthersVerify) {
  FunctionOracle inner(3, code, 3);
  FoldSplit split;
  split.choose = {0, 2};
  split.weights = {3, 3, 1.0};
  split.weights(0, 0) = 3;
  CachedOracle oracle(inner, split);
  const std::vector<Query> queries{{1, 0}, {1, 1}};
  EXPECT_EQ(oracle.losses(sets, queries), (std::vector<double>{2000.5, 2011}));
  EXPECT_EQ(oracle.verify_losses(sets, queries), (std::vector<double>{2001, 2011}));
  EXPECT_EQ(inner.measured(), 2);
  EXPECT_EQ(oracle.mean_of_chosen(std::vector<double>{4, 9, 8, 1, 2, 3, 4, 5, 6}),
            (IdVector<TaskId, double>{5, 2, 5}));
}

TEST(CachedOracle, RefusesFoldsThatDoNotExistOrAreEmpty) {
  FunctionOracle inner(2, code, 2);
  FoldSplit split{{1}, {2, 2, 1.0}};
  split.weights(1, 1) = 0;
  D2C_EXPECT_ERROR(CachedOracle(inner, {{2}, {}}), UsageError, "fold 2", "2 folds");
  D2C_EXPECT_ERROR(CachedOracle(inner, split), UsageError, "task 1");
}

}  // namespace
}  // namespace d2c::cluster
