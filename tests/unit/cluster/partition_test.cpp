#include "d2c/cluster/partition.hpp"

#include <gtest/gtest.h>

namespace d2c::cluster {
namespace {

TEST(Partition, CanonicalFormNumbersClustersByTheirLowestTaskAndEmptyOnesLast) {
  const Partition partition({3, 1, 3, 0}, 4);
  EXPECT_EQ(partition.canonical().assignment(), (Assignment{0, 1, 0, 2}));
  EXPECT_EQ(partition.canonical_labels(), (ClusterLabels{2, 1, 3, 0}));
}

TEST(Partition, CanonicalFormDoesNotDependOnTheNamesOfClusters) {
  EXPECT_EQ(Partition({0, 1, 1, 2}, 3).canonical(), Partition({2, 0, 0, 1}, 3).canonical());
  EXPECT_NE(Partition({0, 1, 1, 2}, 3).canonical(), Partition({0, 1, 2, 2}, 3).canonical());
}

TEST(Partition, MembersAreAscendingAndCoverAllTasks) {
  const Partition partition({1, 0, 1, 1}, 3);
  EXPECT_EQ(partition.members(1), (TaskSet{0, 2, 3}));
  EXPECT_EQ(partition.clusters(), (IdVector<ClusterId, TaskSet>{{1}, {0, 2, 3}, {}}));
  EXPECT_EQ(partition.sizes(), (IdVector<ClusterId, int>{1, 3, 0}));
  EXPECT_EQ(partition.n_nonempty(), 2);
}

TEST(LossMatrix, RelabellingKeepsTheLossOfEveryTask) {
  LossMatrix matrix(2, 2);
  matrix(0, 0) = 1;
  matrix(0, 1) = 2;
  matrix(1, 0) = 3;
  matrix(1, 1) = 4;
  const Partition partition({1, 0}, 2);
  const ClusterLabels labels = partition.canonical_labels();
  EXPECT_EQ(matrix.of(partition), (IdVector<TaskId, double>{2, 3}));
  EXPECT_EQ(matrix.relabelled(labels).of(partition.relabelled(labels)), matrix.of(partition));
}

}  // namespace
}  // namespace d2c::cluster
