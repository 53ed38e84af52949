#include "d2c/cluster/place.hpp"

#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

const Points line{{{0.0}, {0.1}, {0.2}, {5.0}, {5.1}, {5.2}, {0.3}, {4.9}, {20.0}},
                  std::vector<double>(9, 1.0)};
const Assignment old{0, 0, 0, 1, 1, 1, unplaced, unplaced, unplaced};

SearchResult place(const SearchOptions& options, const Assignment& clusters) {
  FunctionOracle inner = line.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, 9);
  return place_tasks({oracle, objective}, options, clusters);
}

TEST(Place, NewTasksJoinTheClusterThatServesThemBest) {
  const SearchResult result = place({.k = 2}, old);
  EXPECT_EQ(result.partition.assignment(), (Assignment{0, 0, 0, 1, 1, 1, 0, 1, 1}));
}

TEST(Place, ATaskThatFitsNowhereOpensAFreeCluster) {
  const SearchResult result = place({.k = 3}, old);
  EXPECT_EQ(result.partition.assignment(), (Assignment{0, 0, 0, 1, 1, 1, 0, 1, 2}));
}

TEST(Place, OldTasksStayEvenWhereTheyFitBadly) {
  const SearchResult result = place({.k = 2}, {0, 0, 0, 1, 1, 0, unplaced, 1, 1});
  EXPECT_EQ(result.partition[5], ClusterId(0));
  EXPECT_EQ(result.partition[6], ClusterId(0));
}

TEST(Place, ObeysConstraints) {
  const SearchResult result =
      place({.k = 3, .constraints = {.max_size = 4, .apart = {{6, 0}}}}, old);
  for (const int size : result.partition.sizes()) EXPECT_LE(size, 4);
  EXPECT_NE(result.partition[6], result.partition[0]);
}

TEST(Place, MeasuresTheNewTasksOnly) {
  const SearchResult result = place({.k = 2, .matrix = ResultMatrix::members}, old);
  EXPECT_LT(result.counts.evaluations,
            9 /* own */ + 6 /* new */ + 9 /* members */ + 40 /* moves */);
}

TEST(Place, RefusesClustersThatDoNotFit) {
  D2C_EXPECT_ERROR((void)place({.k = 2}, {0, 1, 2, 0, 0, 0, 0, 0, 0}), UsageError, "9 tasks");
  D2C_EXPECT_ERROR((void)place({.k = 2}, {0, 1}), UsageError, "9 tasks");
  D2C_EXPECT_ERROR((void)place({.k = 2}, Assignment(9, unplaced)), UsageError, "no task");
}

}  // namespace
}  // namespace d2c::cluster
