#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "loss/evaluate.hpp"
#include "partition/rules.hpp"
#include "search/methods.hpp"
#include "search/recorder.hpp"

namespace d2c::cluster {
namespace {

/// A set of blocks: bit b = block b.
using Mask = std::uint32_t;

constexpr double infinite = std::numeric_limits<double>::infinity();

void refuse_too_many(const Rules& rules) {
  if (rules.n_blocks() > exhaustive_most_blocks)
    throw UsageError({fmt::format("an exhaustive search of {} tasks measures {:.3g} clusters",
                                  rules.n_blocks(), std::exp2(rules.n_blocks()) - 1),
                      fmt::format("it is meant for {} tasks at most", exhaustive_most_blocks),
                      "use 'auto', or fewer tasks"});
}

/// Measures every set of blocks that may be a cluster, then finds the best partition into at most k
/// of them by dynamic programming over subsets: a cost is that of one cluster, so that
///
///     best[j][S] = min over C in S with the lowest block of S: cost[C] + best[j - 1][S - C]
///
/// (the largest instead of the sum where the objective is the worst task). 3^blocks k steps.
class Exhaustive {
 public:
  Exhaustive(const Problem& problem, const SearchOptions& options)
      : problem_(problem),
        options_(options),
        recorder_(problem, options, "exhaustive"),
        rules_(options.constraints, problem.oracle.n_tasks(), options.k) {}

  SearchResult run() {
    refuse_too_many(rules_);
    recorder_.begin_restart();
    offer_starts();
    if (measure()) {
      const Partition best = optimum();
      const IdVector<TaskId, double> losses = member_losses(problem_.oracle, best);
      recorder_.offer(best, problem_.objective.score(losses));
    }
    const Partition best = recorder_.best();
    recorder_.iteration(best, known_matrix(problem_.oracle, best), recorder_.best_score());
    recorder_.end_restart(recorder_.must_stop().value_or(StopReason::complete));
    return recorder_.finish();
  }

 private:
  /// A result in case the search has to stop early.
  void offer_starts() {
    std::vector<Assignment> starts = options_.starts;
    if (starts.empty()) starts.emplace_back(problem_.oracle.n_tasks());
    for (Assignment& start : starts) {
      const Partition partition =
          rules_.repaired(Partition(std::move(start), options_.k), EmptyClusters::allow);
      recorder_.offer(partition,
                      problem_.objective.score(member_losses(problem_.oracle, partition)));
    }
  }

  [[nodiscard]] Mask all() const { return (Mask{1} << rules_.n_blocks()) - 1; }

  [[nodiscard]] TaskSet tasks_of(Mask blocks) const {
    TaskSet tasks;
    for (const BlockId b : rules_.blocks())
      if (((blocks >> b.value()) & 1) != 0)
        tasks.insert(tasks.end(), rules_.block(b).begin(), rules_.block(b).end());
    std::sort(tasks.begin(), tasks.end());
    return tasks;
  }

  /// Cost of all sets that may be clusters. @return  false if the search had to stop
  bool measure() {
    constexpr std::size_t batch = 64;
    sum_.assign(std::size_t{all()} + 1, infinite);
    worst_.assign(sum_.size(), infinite);
    // One cluster of all tasks, or every set.
    for (Mask next = options_.k == 1 ? all() : 1; next <= all();) {
      if (recorder_.must_stop()) return false;
      std::vector<Mask> masks;
      std::vector<TaskSet> sets;
      for (; next <= all() && sets.size() < batch; ++next) {
        TaskSet set = tasks_of(next);
        if (!rules_.allows(set)) continue;
        masks.push_back(next);
        sets.push_back(std::move(set));
      }
      const auto losses = losses_under(problem_.oracle, sets, sets);
      for (std::size_t s = 0; s < sets.size(); ++s) {
        const Objective& objective = problem_.objective;
        double& sum = sum_[masks[s]] = 0;
        double& worst = worst_[masks[s]] = -infinite;
        for (std::size_t i = 0; i < sets[s].size(); ++i) {
          const double weight = objective.weight(sets[s][i]);
          const double cost = objective.cost(sets[s][i], losses[s][i]);
          sum += weight * cost;
          if (weight > 0) worst = std::max(worst, cost);
        }
      }
    }
    return true;
  }

  /// Best partition for a cost per cluster and a way to add costs of clusters.
  template <typename Add>
  [[nodiscard]] std::pair<Partition, double> best_for(const std::vector<double>& cost,
                                                      Add add) const {
    const std::size_t n = cost.size();
    std::vector<std::vector<double>> best(1, cost);  // [clusters - 1][blocks]
    std::vector<std::vector<Mask>> first(1);         // the cluster of the lowest block
    for (Mask blocks = 0; blocks < n; ++blocks) first[0].push_back(blocks);
    for (int k = 2; k <= options_.k; ++k) {
      best.push_back(best.back());
      first.push_back(first.back());
      const std::vector<double>& rest = best[best.size() - 2];
      for (Mask blocks = 1; blocks < n; ++blocks) {
        const Mask lowest = blocks & (~blocks + 1);
        const Mask others = blocks ^ lowest;
        for (Mask joined = others; joined != 0;) {
          joined = (joined - 1) & others;  // proper subsets of `others`, the empty one last
          const double total = add(cost[lowest | joined], rest[others ^ joined]);
          if (!(total < best.back()[blocks])) continue;
          best.back()[blocks] = total;
          first.back()[blocks] = lowest | joined;
        }
      }
    }
    Assignment assignment(problem_.oracle.n_tasks());
    Mask left = all();
    for (ClusterId k; left != 0; ++k) {
      // Fewer clusters may be as good: then `first` of more clusters is that of fewer.
      const Mask cluster = first[first.size() - 1 - k.index()][left];
      for (const TaskId task : tasks_of(cluster)) assignment[task] = k;
      left ^= cluster;
    }
    return {Partition(std::move(assignment), options_.k), best.back()[all()]};
  }

  [[nodiscard]] Partition optimum() const {
    const auto plus = [](double a, double b) { return a + b; };
    std::vector<double> cost = sum_;
    if (problem_.objective.kind() == ObjectiveKind::worst) {
      const double least =
          best_for(worst_, [](double a, double b) { return std::max(a, b); }).second;
      // Of all partitions that are best for the worst task, the best for the mean.
      for (std::size_t blocks = 0; blocks < cost.size(); ++blocks)
        if (worst_[blocks] > least) cost[blocks] = infinite;
    }
    auto [partition, value] = best_for(cost, plus);
    if (value == infinite)
      throw UsageError({"no partition meets the constraints", "", "drop some of them"});
    return partition;
  }

  const Problem& problem_;
  const SearchOptions& options_;
  Recorder recorder_;
  Rules rules_;
  std::vector<double> sum_;    // weighted cost of the members of every set of blocks
  std::vector<double> worst_;  // largest cost of a member
};

}  // namespace

void check_exhaustive(const SearchOptions& options, int n_tasks) {
  refuse_too_many(Rules(options.constraints, n_tasks, options.k));
}

SearchResult exhaustive_search(const Problem& problem, const SearchOptions& options) {
  return Exhaustive(problem, options).run();
}

}  // namespace d2c::cluster
