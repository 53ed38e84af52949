#pragma once

#include <cmath>
#include <functional>
#include <ostream>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/rng.hpp"

namespace d2c {

/// For messages of tests.
template <class Tag>
std::ostream& operator<<(std::ostream& out, Id<Tag> id) {
  return out << id.value();
}

}  // namespace d2c

namespace d2c::cluster {

/// Measures any function of (set, task), counts, and fails the test when it is asked twice.
class FunctionOracle : public LossOracle {
 public:
  using Loss = std::function<double(const TaskSet&, TaskId task, int fold)>;
  FunctionOracle(int n_tasks, Loss loss, int n_folds = 1)
      : n_tasks_(n_tasks), n_folds_(n_folds), loss_(std::move(loss)) {}

  [[nodiscard]] int n_tasks() const override { return n_tasks_; }
  [[nodiscard]] int n_folds() const override { return n_folds_; }
  [[nodiscard]] std::vector<double> losses(std::span<const TaskSet> sets,
                                           std::span<const Query> queries) override {
    ++calls;
    std::vector<double> values;
    for (const Query& query : queries) {
      const TaskSet& set = sets[query.set];
      EXPECT_FALSE(set.empty());
      EXPECT_TRUE(asked_.insert({set, query.task}).second) << "an entry is asked for twice";
      for (int fold = 0; fold < n_folds_; ++fold) values.push_back(loss_(set, query.task, fold));
    }
    return values;
  }

  [[nodiscard]] std::int64_t measured() const { return static_cast<std::int64_t>(asked_.size()); }
  int calls = 0;

 private:
  int n_tasks_;
  int n_folds_;
  Loss loss_;
  std::set<std::pair<TaskSet, TaskId>> asked_;
};

/// Tasks are points x_t in R^d; the merge of a set is its mean m, so a task's own cluster contains
/// it; loss = floor_t + |x_t - m|^2. Few-shot noise moves the points by fold.
struct Points {
  IdVector<TaskId, std::vector<double>> x;  ///< [d]
  IdVector<TaskId, double> floor;

  [[nodiscard]] int n_tasks() const { return x.n(); }
  [[nodiscard]] IdRange<TaskId> tasks() const { return x.ids(); }
  [[nodiscard]] double loss(const TaskSet& set, TaskId task) const {
    const std::vector<double>& point = x[task];
    double squared = 0;
    for (std::size_t i = 0; i < point.size(); ++i) {
      double mean = 0;
      for (const TaskId member : set) mean += x[member][i];
      mean /= static_cast<double>(set.size());
      squared += (point[i] - mean) * (point[i] - mean);
    }
    return floor[task] + squared;
  }
  [[nodiscard]] FunctionOracle oracle() const {
    return {n_tasks(), [this](const TaskSet& set, TaskId task, int) { return loss(set, task); }};
  }
  /// Loss without an adapter: the origin.
  [[nodiscard]] IdVector<TaskId, double> base() const {
    IdVector<TaskId, double> losses;
    for (const TaskId task : tasks()) {
      double squared = 0;
      for (const double value : x[task]) squared += value * value;
      losses.push_back(floor[task] + squared);
    }
    return losses;
  }
  [[nodiscard]] std::vector<double> cosine() const {
    const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
      double sum = 0;
      for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
      return sum;
    };
    std::vector<double> matrix;
    for (const auto& a : x)
      for (const auto& b : x) matrix.push_back(dot(a, b) / std::sqrt(dot(a, a) * dot(b, b)));
    return matrix;
  }
};

/// `centres` groups of points in R^d; `spread` is the distance within a group relative to that of
/// the groups.
inline Points random_points(int n_tasks, int centres, int d, double spread, std::uint64_t seed) {
  CounterRng rng(seed, 77);
  std::vector<std::vector<double>> centre(static_cast<std::size_t>(centres));
  for (auto& c : centre)
    for (int i = 0; i < d; ++i) c.push_back(rng.normal());
  Points points;
  for (int task = 0; task < n_tasks; ++task) {
    std::vector<double> point = centre[rng.below(static_cast<std::uint64_t>(centres))];
    for (double& value : point) value += spread * rng.normal();
    points.x.push_back(std::move(point));
    points.floor.push_back(1.0 + rng.uniform());
  }
  return points;
}

/// A search for the lowest mean loss, where it may look at the cosines of the points.
inline SearchResult run(std::string_view method, const Points& points, const SearchOptions& options,
                        bool similarity = true) {
  FunctionOracle inner = points.oracle();
  CachedOracle oracle(inner);
  const Objective objective(ObjectiveKind::loss, points.n_tasks());
  Problem problem{oracle, objective};
  if (similarity) problem.similarity = [&points] { return points.cosine(); };
  problem.trimmed_similarity = problem.similarity;
  return search_method(method).run(problem, options);
}

}  // namespace d2c::cluster
