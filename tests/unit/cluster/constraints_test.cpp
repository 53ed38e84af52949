#include "d2c/cluster/constraints.hpp"

#include <algorithm>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"

#include "synthetic.hpp"
#include "test_support.hpp"

namespace d2c::cluster {
namespace {

SearchResult run(std::string_view method, const Points& points, const Constraints& constraints,
                 int k) {
  return run(method, points, SearchOptions{.k = k, .constraints = constraints});
}

void expect_obeyed(const Constraints& constraints, const Partition& partition,
                   std::string_view method) {
  for (const int size : partition.sizes()) {
    if (size == 0) continue;
    EXPECT_GE(size, constraints.min_size) << method;
    if (constraints.max_size > 0) {
      EXPECT_LE(size, constraints.max_size) << method;
    }
  }
  for (const auto& [a, b] : constraints.together) EXPECT_EQ(partition[a], partition[b]) << method;
  for (const auto& [a, b] : constraints.apart) EXPECT_NE(partition[a], partition[b]) << method;
}

TEST(Constraints, EverySearchObeysThemOrRefuses) {
  const std::vector<Constraints> cases{
      {.min_size = 2},
      {.max_size = 4},
      {.min_size = 3, .max_size = 3},
      {.together = {{0, 5}, {5, 7}, {1, 2}}},
      {.apart = {{0, 1}, {1, 2}, {0, 2}}},
      {.min_size = 2, .max_size = 5, .together = {{0, 8}}, .apart = {{0, 1}, {8, 3}, {4, 5}}},
  };
  int obeyed = 0;
  for (const Constraints& constraints : cases)
    for (const SearchMethod& method : search_methods())
      for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const Points points = random_points(9, 3, 2, 0.8, seed);
        try {
          const SearchResult result =
              run(method.name, points, {.k = 3, .seed = seed, .constraints = constraints});
          expect_obeyed(constraints, result.partition, method.name);
          ++obeyed;
        } catch (const UsageError&) {
          EXPECT_TRUE(method.name == "one" || method.name == "own") << method.name;
        }
      }
  EXPECT_GT(obeyed, 200);
}

TEST(Constraints, AutoFindsTheBestAllowedPartition) {
  int optimal = 0;
  constexpr int n = 20;
  for (std::uint64_t seed = 0; seed < n; ++seed) {
    const Points points = random_points(9, 3, 2, 0.8, seed);
    const Constraints constraints{.min_size = 2, .max_size = 4, .apart = {{0, 1}}};
    const double best = run("exhaustive", points, constraints, 3).objective;
    const double found = run("auto", points, constraints, 3).objective;
    EXPECT_GE(found, best * (1 - 1e-12));
    optimal += found <= best * (1 + 1e-12) ? 1 : 0;
  }
  EXPECT_GE(optimal, 19);
}

TEST(Constraints, AnImpossibleSetIsRefused) {
  const Points points = random_points(6, 3, 2, 0.8, 1);
  D2C_EXPECT_ERROR((void)run("auto", points, {.min_size = 4, .max_size = 3}, 2), UsageError,
                   "at least 4", "at most 3");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.max_size = 2}, 2), UsageError, "cannot hold 6 tasks");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.together = {{0, 1}}, .apart = {{1, 0}}}, 2),
                   UsageError, "together and apart");
  D2C_EXPECT_ERROR((void)run("kmeans", points, {.together = {{0, 6}}}, 2), UsageError, "0 and 6");
  D2C_EXPECT_ERROR(
      (void)run("random", points, {.max_size = 3, .together = {{0, 1}, {1, 2}, {2, 3}}}, 2),
      UsageError, "4 tasks must stay together");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.apart = {{0, 1}, {1, 2}, {0, 2}}}, 2), UsageError,
                   "no partition");
  D2C_EXPECT_ERROR((void)run("exhaustive", points, {.apart = {{0, 1}, {1, 2}, {0, 2}}}, 2),
                   UsageError, "no partition");
  D2C_EXPECT_ERROR((void)run("d2c", points, {.min_size = 2}, 4), UsageError,
                   "6 tasks into 4 clusters", "allow empty clusters");
  EXPECT_NO_THROW((void)run(
      "d2c", points, {.k = 4, .empty = EmptyClusters::allow, .constraints = {.min_size = 2}}));
  D2C_EXPECT_ERROR((void)run("one", points, {.max_size = 5}, 2), UsageError, "cannot hold");
  D2C_EXPECT_ERROR((void)run("own", points, {.together = {{0, 1}}}, 2), UsageError, "own");
}

TEST(Constraints, AreCheckedWithoutASearch) {
  check_constraints({}, 4, 2);
  check_constraints({.max_size = 2, .together = {{0, 1}}, .apart = {{0, 2}}}, 4, 2);
  D2C_EXPECT_ERROR(check_constraints({.max_size = 1}, 4, 2), UsageError, "2 clusters of at most 1");
  D2C_EXPECT_ERROR(check_constraints({.together = {{0, 1}}, .apart = {{0, 1}}}, 4, 2), UsageError,
                   "together and apart");
  D2C_EXPECT_ERROR(check_constraints({.apart = {{0, 1}, {1, 2}, {0, 2}}}, 4, 2), UsageError,
                   "no partition");
}

}  // namespace
}  // namespace d2c::cluster
