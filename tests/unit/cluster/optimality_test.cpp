#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "d2c/cluster/registry.hpp"

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

/// Losses of all merges of a few tasks. What the tests below call the optimum is found from this
/// table alone, with none of the code under test.
struct Table {
  std::string name;
  int n = 0;
  std::vector<double> base;               ///< [n]
  std::vector<std::vector<double>> loss;  ///< [2^n][n]; bit t of the first index = task t

  [[nodiscard]] std::vector<double> own() const {
    std::vector<double> losses;
    for (std::size_t t = 0; t < base.size(); ++t) losses.push_back(loss[std::size_t{1} << t][t]);
    return losses;
  }
  [[nodiscard]] FunctionOracle oracle() const {
    return {n, [this](const TaskSet& set, TaskId task, int) {
              std::size_t mask = 0;
              for (const TaskId member : set) mask |= std::size_t{1} << member.value();
              return loss[mask][task.index()];
            }};
  }
};

/// Weighted mean of the loss or of 1 - gain, or the largest 1 - gain, written out.
double value_of(ObjectiveKind kind, const Table& table, const std::vector<double>& weights,
                const std::vector<std::uint32_t>& clusters) {
  double sum = 0;
  double total = 0;
  double worst = -INFINITY;
  for (const std::uint32_t cluster : clusters)
    for (std::size_t t = 0; t < table.base.size(); ++t) {
      if (((cluster >> t) & 1) == 0) continue;
      const double loss = table.loss[cluster][t];
      const double own = table.loss[std::size_t{1} << t][t];
      const double lost = (loss - own) / (table.base[t] - own);
      sum += weights[t] * (kind == ObjectiveKind::loss ? loss : lost);
      total += weights[t];
      worst = std::max(worst, lost);
    }
  return kind == ObjectiveKind::worst ? worst : sum / total;
}

/// Lowest value over all partitions into at most k sets: every task joins a set of tasks before it
/// or begins one.
double optimum(ObjectiveKind kind, const Table& table, const std::vector<double>& weights, int k,
               std::vector<std::uint32_t> clusters = {}, int task = 0) {
  if (task == table.n) return value_of(kind, table, weights, clusters);
  double best = INFINITY;
  for (std::size_t c = 0; c <= clusters.size() && c < static_cast<std::size_t>(k); ++c) {
    std::vector<std::uint32_t> next = clusters;
    if (c == next.size()) next.push_back(0);
    next[c] |= std::uint32_t{1} << task;
    best = std::min(best, optimum(kind, table, weights, k, std::move(next), task + 1));
  }
  return best;
}

/// Points and their means: merges behave as they should.
Table points_table(int n, double spread, std::uint64_t seed) {
  const Points points = random_points(n, 4, 2, spread, seed);
  Table table{"points " + std::to_string(seed), n, {}, {}};
  // A base model as bad for every task as a point far away.
  for (const double floor : points.floor) table.base.push_back(floor + 20);
  for (std::uint32_t mask = 0; mask < std::uint32_t{1} << n; ++mask) {
    TaskSet set;
    for (int t = 0; t < n; ++t)
      if (((mask >> t) & 1) != 0) set.push_back(TaskId(t));
    table.loss.emplace_back();
    for (int t = 0; t < n; ++t)
      table.loss.back().push_back(set.empty() ? 0 : points.loss(set, TaskId(t)));
  }
  return table;
}

/// Losses without any structure: nothing but looking at all of them finds the optimum.
Table noise_table(int n, std::uint64_t seed) {
  CounterRng rng(seed, 5);
  Table table{
      "noise " + std::to_string(seed), n, std::vector<double>(static_cast<std::size_t>(n)), {}};
  for (double& base : table.base) base = 3 + rng.uniform();
  for (std::uint32_t mask = 0; mask < std::uint32_t{1} << n; ++mask) {
    table.loss.emplace_back();
    for (int t = 0; t < n; ++t)
      table.loss.back().push_back(std::popcount(mask) == 1 ? 0.5 * rng.uniform()
                                                           : 0.5 + rng.uniform());
  }
  return table;
}

/// Losses of tasks of the demo data; for the format and how it was made see bench/search.cpp.
Table read_table(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  const auto numbers = [&] {
    std::getline(in, line);
    std::istringstream words(line);
    std::vector<double> values;
    for (double value; words >> value;) values.push_back(value);
    return values;
  };
  Table table{file.stem().string(), static_cast<int>(numbers().size()), numbers(), {{}}};
  for (std::uint32_t mask = 1; mask < std::uint32_t{1} << table.n; ++mask) {
    table.loss.push_back(numbers());
    EXPECT_EQ(std::ssize(table.loss.back()), table.n) << file << ", set " << mask;
  }
  return table;
}

std::vector<Table> real_tables() {
  std::vector<Table> tables;
  for (const auto& entry : std::filesystem::directory_iterator(D2C_CLUSTER_TEST_DATA))
    tables.push_back(read_table(entry.path()));
  std::ranges::sort(tables, {}, &Table::name);
  return tables;
}

std::vector<Table> all_tables() {
  std::vector<Table> tables = real_tables();
  for (int n = 6; n <= 9; ++n)
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      tables.push_back(points_table(n, seed % 2 == 0 ? 0.3 : 0.8, 500 + 10 * seed));
      if (seed < 2) tables.push_back(noise_table(n, seed));
    }
  return tables;
}

struct Tally {
  int instances = 0;
  int optimal = 0;
  double largest = 0;  ///< excess over the optimum, as a share of it
};

/// `auto` against the optimum for one table, every objective and some K.
void tally(const Table& table, std::int64_t max_evaluations, Tally& sum) {
  std::vector<double> weights(static_cast<std::size_t>(table.n), 1.0);
  for (const ObjectiveKind kind : {ObjectiveKind::loss, ObjectiveKind::gain, ObjectiveKind::worst})
    for (const int k : {2, 3, 5}) {
      weights[0] = k == 3 ? 2.5 : 1.0;
      FunctionOracle inner = table.oracle();
      CachedOracle oracle(inner);
      const Objective objective(kind, table.n, weights, {table.base, table.own()});
      ASSERT_TRUE(objective.helpless().empty());
      const SearchResult result = search_method("auto").run(
          {oracle, objective},
          {.k = k, .max_evaluations = max_evaluations, .matrix = ResultMatrix::members});
      const double best = optimum(kind, table, weights, k);
      const std::string where = table.name + ", " + std::string(objective_names.name(kind)) +
                                ", k " + std::to_string(k) + ", " + std::to_string(table.n) +
                                " tasks";
      std::vector<std::uint32_t> clusters(static_cast<std::size_t>(k));
      for (int t = 0; t < table.n; ++t)
        clusters[result.partition[TaskId(t)].index()] |= std::uint32_t{1} << t;
      const double found = value_of(kind, table, weights, clusters);
      EXPECT_NEAR(result.objective, found, 1e-12) << where;
      EXPECT_GE(found, best - 1e-12) << where << ": below the optimum";
      ++sum.instances;
      sum.optimal += found <= best + 1e-12 ? 1 : 0;
      sum.largest = std::max(sum.largest, found / best - 1);
    }
}

TEST(Optimality, AutoFindsWhatBruteForceFindsForUpToNineTasks) {
  const std::vector<Table> tables = all_tables();
  ASSERT_GE(tables.size(), 20U);
  Tally sum;
  for (const Table& table : tables) tally(table, 0, sum);
  RecordProperty("instances", sum.instances);
  EXPECT_EQ(sum.optimal, sum.instances);
  EXPECT_LE(sum.largest, 1e-9);
}

TEST(Optimality, WithoutTheMeansToMeasureAllSetsAutoIsNearlyOptimalOnRealTasks) {
  const std::vector<Table> tables = real_tables();
  ASSERT_GE(tables.size(), 6U);
  Tally sum;
  // One less than the dynamic programming takes, so that the search for many tasks runs.
  for (const Table& table : tables) tally(table, (std::int64_t{table.n} << (table.n - 1)) - 1, sum);
  RecordProperty("instances", sum.instances);
  RecordProperty("optimal", sum.optimal);
  RecordProperty("largest", std::to_string(sum.largest));
  EXPECT_GE(sum.optimal, 0.95 * sum.instances) << sum.optimal << " of " << sum.instances;
  EXPECT_LE(sum.largest, 0.01);
}

}  // namespace
}  // namespace d2c::cluster
