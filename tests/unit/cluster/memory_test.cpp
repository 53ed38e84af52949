#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>
#include <malloc.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/cluster/search.hpp"

// A program of its own: it follows what is allocated through operator new.

namespace {

std::atomic<std::int64_t> held{0};
std::atomic<std::int64_t> most_held{0};

void release(void* memory) {
  held -= static_cast<std::int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  const std::int64_t now = held += static_cast<std::int64_t>(malloc_usable_size(memory));
  std::int64_t most = most_held;
  while (now > most && !most_held.compare_exchange_weak(most, now)) {
  }
  return memory;
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }

namespace d2c::cluster {
namespace {

constexpr int task_count = 2000;
constexpr std::int64_t matrix_bytes = std::int64_t{8} * task_count * task_count;

class PlainOracle final : public LossOracle {
 public:
  [[nodiscard]] int n_tasks() const override { return task_count; }
  [[nodiscard]] int n_folds() const override { return 1; }
  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) override {
    std::vector<double> values;
    for (const Query& query : queries) {
      values.push_back(1.0 + static_cast<double>(sets[query.set].size()));
    }
    return values;
  }
};

/// Two groups of tasks.
SimilarityMatrix two_groups() {
  std::vector<double> values;
  values.reserve(static_cast<std::size_t>(task_count) * task_count);
  for (int a = 0; a < task_count; ++a)
    for (int b = 0; b < task_count; ++b)
      values.push_back(a == b ? 1.0 : a % 2 == b % 2 ? 0.5 : 0.1);
  return values;
}

/// Most that a search holds on top of the similarities.
std::int64_t most_of(const SearchMethod& method, const SimilarityMatrix& similarity, bool works) {
  PlainOracle oracle;
  CachedOracle cache(oracle);
  const Objective objective(ObjectiveKind::loss, task_count, {}, {});
  Problem problem{.oracle = cache, .objective = objective};
  problem.similarity = problem.trimmed_similarity = [&] { return similarity; };
  problem.once = [&](const std::function<std::vector<std::int64_t>()>& work) {
    if (works) return work();
    // As another rank found it.
    std::vector<std::int64_t> result;
    for (int task = 0; task < task_count; ++task) result.push_back(task % 2);
    result.push_back(0);
    return result;
  };
  SearchOptions options;
  options.k = 2;
  options.matrix = ResultMatrix::members;
  const std::int64_t before = held;
  most_held = before;
  const SearchResult result = method.run(problem, options);
  EXPECT_EQ(result.partition.n_nonempty(), 2);
  for (const TaskId task : result.partition.tasks())
    EXPECT_EQ(result.partition[task], result.partition[TaskId(task.value() % 2)]);
  return most_held - before;
}

TEST(Similarity, OneRankHasRoomToWorkOnItAndTheOthersHoldNothingThatGrowsWithTasksSquared) {
  const SimilarityMatrix similarity = two_groups();
  for (const std::string_view name : {"kmeans", "kmeans_trimmed", "spectral", "agglomerative"}) {
    const SearchMethod& method = search_method(name);
    EXPECT_LT(most_of(method, similarity, false), matrix_bytes / 16) << name;
    EXPECT_LT(most_of(method, similarity, true), matrix_bytes + matrix_bytes / 4) << name;
  }
}

TEST(Similarity, OfTasksWithOneAdapterIsThatOfTheAdapter) {
  auto values = std::make_shared<const std::vector<double>>(std::vector<double>{1, 0.5, 0.5, 1});
  const std::weak_ptr<const std::vector<double>> watched = values;
  auto copy = [&] {
    const SimilarityMatrix matrix(*values, 2, {0, 1, 0}, values);
    return matrix;
  }();
  values.reset();
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(copy.n(), 3);
  EXPECT_EQ(copy(0, 2), 1);
  EXPECT_EQ(copy(2, 1), 0.5);
  EXPECT_EQ(copy(1, 1), 1);
  copy = SimilarityMatrix(std::vector<double>{1.0});
  EXPECT_TRUE(watched.expired());
}

}  // namespace
}  // namespace d2c::cluster
