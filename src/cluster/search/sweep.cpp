#include "d2c/cluster/sweep.hpp"

#include <algorithm>
#include <functional>

#include "d2c/core/error.hpp"

#include "search/methods.hpp"
#include "search/recorder.hpp"

namespace d2c::cluster {
namespace {

/// The partitions with one cluster less that promise the lowest cost: what members of two clusters
/// lose by moving to the other one.
std::vector<Assignment> merged_starts(const Objective& objective, const SearchResult& from) {
  struct Pair {
    double loses;
    ClusterId a;
    ClusterId b;
  };
  const int n = from.partition.n_nonempty();
  const int k = from.partition.k();
  if (n < k) return {from.partition.assignment()};
  IdMatrix<ClusterId, ClusterId> loses(n, n);
  for (const TaskId task : from.partition.tasks()) {
    const ClusterId own = from.partition[task];
    for (const ClusterId other : loses.columns())
      loses(own, other) += objective.excess(task, from.loss(task, other), from.loss(task, own));
  }
  const IdVector<ClusterId, int> size = from.partition.sizes();
  std::vector<Pair> pairs;
  for (const ClusterId a : loses.rows())
    for (const ClusterId b : loses.columns()) {
      if (!(a < b)) continue;
      const double n_a = size[a];
      const double n_b = size[b];
      pairs.push_back(
          {(loses(a, b) + loses(b, a)) * n_a * n_b / ((n_a + n_b) * (n_a + n_b)), a, b});
    }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& x, const Pair& y) { return x.loses < y.loses; });
  constexpr std::size_t most = 3;
  std::vector<Assignment> starts;
  for (std::size_t i = 0; i < std::min(most, pairs.size()); ++i) {
    Assignment start = from.partition.assignment();
    for (ClusterId& cluster : start) {
      if (cluster == pairs[i].b)
        cluster = pairs[i].a;
      else if (cluster == ClusterId(k - 1))
        cluster = pairs[i].b;
    }
    starts.push_back(std::move(start));
  }
  return starts;
}

/// Sweeps one k after the other.
class Sweeper {
 public:
  Sweeper(const Problem& problem, const SearchOptions& options)
      : problem_(problem), at_k_(options) {
    at_k_.matrix = ResultMatrix::full;
  }

  Sweep run(std::span<const int> ks) {
    const CachedOracle::Counts start = problem_.oracle.counts();
    upwards(ks);
    downwards();
    carry_upwards();
    sweep_.knee = knee_of(sweep_.k, sweep_.objectives());
    const CachedOracle::Counts& end = problem_.oracle.counts();
    sweep_.counts = {end.evaluations - start.evaluations, end.replayed - start.replayed,
                     end.cached - start.cached};
    return std::move(sweep_);
  }

 private:
  [[nodiscard]] bool stopped() const { return problem_.stop && problem_.stop(); }

  SearchResult search(int k, std::vector<Assignment> starts) {
    at_k_.k = k;
    at_k_.starts = std::move(starts);
    return auto_search(problem_, at_k_);
  }

  void upwards(std::span<const int> ks) {
    for (const int k : ks) {
      if (sweep_.k.empty()) {
        // Constraints can rule out few clusters, never more of them.
        if (k != ks.back() && !feasible(k)) continue;
      } else if (stopped()) {
        return;
      }
      std::vector<Assignment> starts;
      if (!sweep_.k.empty()) starts = {sweep_.results.back().partition.assignment()};
      SearchResult found = search(k, std::move(starts));
      sweep_.k.push_back(k);
      sweep_.evaluations.push_back(found.counts.evaluations);
      sweep_.results.push_back(std::move(found));
    }
  }

  void downwards() {
    for (std::size_t i = sweep_.k.size() - 1; i-- > 0 && !stopped();) {
      const int k = sweep_.k[i];
      if (k == 1 || sweep_.k[i + 1] != k + 1) continue;
      std::vector<Assignment> starts = merged_starts(problem_.objective, sweep_.results[i + 1]);
      starts.push_back(sweep_.results[i].partition.assignment());
      search_again(i, std::move(starts));
    }
  }

  /// What was found downwards may be better than the results for more clusters.
  void carry_upwards() {
    for (std::size_t i = 1; i < sweep_.k.size(); ++i) {
      const SearchResult& fewer = sweep_.results[i - 1];
      if (fewer.score < sweep_.results[i].score) search_again(i, {fewer.partition.assignment()});
    }
  }

  void search_again(std::size_t i, std::vector<Assignment> starts) {
    SearchResult found = search(sweep_.k[i], std::move(starts));
    sweep_.evaluations[i] += found.counts.evaluations;
    if (found.score < sweep_.results[i].score) sweep_.results[i] = std::move(found);
  }

  [[nodiscard]] bool feasible(int k) const {
    try {
      check_constraints(at_k_.constraints, problem_.oracle.n_tasks(), k);
      return true;
    } catch (const UsageError&) {
      return false;
    }
  }

  const Problem& problem_;
  SearchOptions at_k_;
  Sweep sweep_;
};

}  // namespace

std::vector<double> Sweep::objectives() const {
  std::vector<double> values;
  for (const SearchResult& result : results) values.push_back(result.objective);
  return values;
}

Sweep sweep_k(const Problem& problem, const SearchOptions& options, std::span<const int> ks) {
  D2C_EXPECTS(!ks.empty() && std::is_sorted(ks.begin(), ks.end(), std::less_equal<>()));
  SearchOptions largest = options;
  largest.k = ks.back();
  check_options(largest, problem.oracle.n_tasks());
  return Sweeper(problem, options).run(ks);
}

std::size_t knee_of(std::span<const int> ks, std::span<const double> objectives) {
  if (objectives.size() < 3 || !(objectives.front() > objectives.back())) return 0;
  const double run = ks.back() - ks.front();
  const double fall = objectives.front() - objectives.back();
  std::size_t knee = 0;
  double farthest = 0;
  for (std::size_t i = 0; i < objectives.size(); ++i) {
    const double below =
        1 - (ks[i] - ks.front()) / run - (objectives[i] - objectives.back()) / fall;
    if (below > farthest) {
      farthest = below;
      knee = i;
    }
  }
  return knee;
}

}  // namespace d2c::cluster
