#include "d2c/cluster/sweep.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"

#include "methods.hpp"
#include "recorder.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// The partitions with one cluster less that promise the lowest cost: what members of two clusters
/// lose by moving to the other one.
std::vector<Assignment> merged_starts(const Objective& objective, const SearchResult& from) {
  struct Pair {
    double loses;
    int a;
    int b;
  };
  const int n = from.partition.n_nonempty();
  const int k = from.partition.k();
  if (n < k) return {from.partition.assignment()};
  LossMatrix loses(n, n);
  std::fill(loses.values.begin(), loses.values.end(), 0.0);
  for (int task = 0; task < from.partition.n_tasks(); ++task) {
    const int own = from.partition[task];
    for (int other = 0; other < n; ++other)
      loses(own, other) += objective.weight(task) * (objective.cost(task, from.loss(task, other)) -
                                                     objective.cost(task, from.loss(task, own)));
  }
  const std::vector<int> size = from.partition.sizes();
  std::vector<Pair> pairs;
  for (int a = 0; a < n; ++a)
    for (int b = a + 1; b < n; ++b) {
      const double n_a = size[at(a)];
      const double n_b = size[at(b)];
      pairs.push_back(
          {(loses(a, b) + loses(b, a)) * n_a * n_b / ((n_a + n_b) * (n_a + n_b)), a, b});
    }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& x, const Pair& y) { return x.loses < y.loses; });
  constexpr std::size_t most = 3;
  std::vector<Assignment> starts;
  for (std::size_t i = 0; i < std::min(most, pairs.size()); ++i) {
    Assignment start = from.partition.assignment();
    for (int& cluster : start) {
      if (cluster == pairs[i].b)
        cluster = pairs[i].a;
      else if (cluster == k - 1)
        cluster = pairs[i].b;
    }
    starts.push_back(std::move(start));
  }
  return starts;
}

/// Searches with k clusters, or with more where constraints rule out so few.
SearchResult first_result(const Problem& problem, SearchOptions options, int most) {
  for (;; ++options.k) {
    try {
      return auto_search(problem, options);
    } catch (const UsageError&) {
      if (options.k >= most) throw;
    }
  }
}

}  // namespace

std::vector<double> Sweep::objectives() const {
  std::vector<double> values;
  for (const SearchResult& result : results) values.push_back(result.objective);
  return values;
}

Sweep sweep_k(const Problem& problem, const SearchOptions& options) {
  check_options(options, problem.oracle.n_tasks());
  SearchOptions at_k = options;
  at_k.k = 1;
  at_k.matrix = ResultMatrix::full;
  at_k.starts.clear();
  const CachedOracle::Counts start = problem.oracle.counts();
  const auto stopped = [&problem] { return problem.stop && problem.stop(); };
  Sweep sweep;
  sweep.results.push_back(first_result(problem, at_k, options.k));
  sweep.first_k = sweep.results.front().partition.k();
  for (at_k.k = sweep.first_k + 1; at_k.k <= options.k && !stopped(); ++at_k.k) {
    at_k.starts = {sweep.results.back().partition.assignment()};
    sweep.results.push_back(auto_search(problem, at_k));
  }
  for (std::size_t i = sweep.results.size() - 1; i-- > 0 && !stopped();) {
    at_k.k = sweep.first_k + static_cast<int>(i);
    if (at_k.k == 1) break;
    at_k.starts = merged_starts(problem.objective, sweep.results[i + 1]);
    at_k.starts.push_back(sweep.results[i].partition.assignment());
    SearchResult found = auto_search(problem, at_k);
    if (found.score < sweep.results[i].score) sweep.results[i] = std::move(found);
  }
  sweep.knee = sweep.first_k + static_cast<int>(knee_of(sweep.objectives()));
  const CachedOracle::Counts& end = problem.oracle.counts();
  sweep.counts = {end.evaluations - start.evaluations, end.replayed - start.replayed,
                  end.cached - start.cached};
  return sweep;
}

std::size_t knee_of(std::span<const double> objectives) {
  if (objectives.size() < 3 || !(objectives.front() > objectives.back())) return 0;
  const double run = static_cast<double>(objectives.size() - 1);
  const double fall = objectives.front() - objectives.back();
  std::size_t knee = 0;
  double farthest = 0;
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const double below =
        1 - static_cast<double>(i) / run - (objectives[i] - objectives.back()) / fall;
    if (below > farthest) {
      farthest = below;
      knee = i;
    }
  }
  return knee;
}

}  // namespace d2c::cluster
