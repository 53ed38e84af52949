#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "d2c/cluster/search.hpp"
#include "d2c/core/rng.hpp"

#include "loss/evaluate.hpp"
#include "partition/rules.hpp"
#include "search/recorder.hpp"
#include "search/starts.hpp"

namespace d2c::cluster {
namespace {

class Alternation {
 public:
  Alternation(const Problem& problem, const SearchOptions& options)
      : problem_(problem),
        options_(options),
        recorder_(problem, options, "d2c"),
        rules_(options.constraints, problem.oracle.n_tasks(), options.k) {}

  SearchResult run() {
    std::optional<StopReason> stop;
    const int n_given = static_cast<int>(options_.starts.size());
    const int n = n_given + (n_given == 0 ? std::max(options_.restarts, 1) : options_.restarts);
    for (int restart = 0; restart < n && !stop; ++restart) {
      const std::uint64_t stream = hash_name("cluster.d2c") + static_cast<std::uint64_t>(restart);
      recorder_.begin_restart(stream);
      CounterRng rng(options_.seed, stream);
      const Partition wanted =
          restart < n_given
              ? Partition(options_.starts[static_cast<std::size_t>(restart)], options_.k)
              : random_partition(problem_.oracle.n_tasks(), options_.k, options_.empty, rng);
      const StopReason reason =
          alternate(rules_.unconstrained() ? wanted : rules_.repaired(wanted, options_.empty));
      recorder_.end_restart(reason);
      stop = recorder_.must_stop();
    }
    return recorder_.finish();
  }

 private:
  StopReason alternate(Partition partition) {
    std::set<Assignment> seen;
    for (int iteration = 1;; ++iteration) {
      if (const auto stop = recorder_.must_stop()) return *stop;
      seen.insert(partition.canonical().assignment());
      LossMatrix loss = loss_matrix(problem_.oracle, partition);
      Partition next = reassigned(partition, loss);
      const Score score = problem_.objective.score(loss.of(partition));
      recorder_.iteration(partition, std::move(loss), score);
      if (next == partition) return StopReason::fixed_point;
      if (seen.contains(next.canonical().assignment())) return StopReason::repeated;
      if (iteration == options_.max_iterations) return StopReason::max_iterations;
      partition = std::move(next);
    }
  }

  Partition reassigned(const Partition& partition, const LossMatrix& loss) {
    if (!rules_.unconstrained()) return rules_.fit(costs(loss), options_.empty);
    Partition next = partition;
    for (const TaskId task : partition.tasks()) {
      ClusterId best = partition[task];
      for (const ClusterId k : partition.cluster_ids())
        if (loss(task, k) < loss(task, best) || (k < best && loss(task, k) == loss(task, best)))
          best = k;  // NaN, of an empty cluster, never is
      next.move(task, best);
    }
    if (options_.empty == EmptyClusters::refill) refill(next, loss);
    return next;
  }

  /// Weighted cost of every task in every cluster. An empty cluster costs as much as the worst one.
  [[nodiscard]] CostMatrix costs(const LossMatrix& loss) const {
    CostMatrix cost(loss.n_rows, loss.n_columns);
    for (const TaskId task : loss.rows()) {
      double worst = -std::numeric_limits<double>::infinity();
      for (const double value : loss.row(task))
        if (!std::isnan(value)) worst = std::max(worst, value);
      for (const ClusterId k : loss.columns()) {
        const double value = std::isnan(loss(task, k)) ? worst : loss(task, k);
        cost(task, k) = problem_.objective.weight(task) * problem_.objective.cost(task, value);
      }
    }
    return cost;
  }

  /// Every empty cluster gets the task that gains most from its own adapter.
  void refill(Partition& partition, const LossMatrix& loss) {
    IdVector<ClusterId, int> size = partition.sizes();
    if (std::find(size.begin(), size.end(), 0) == size.end()) return;
    const IdVector<TaskId, double> own = problem_.oracle.own_losses();
    for (const ClusterId k : size.ids()) {
      if (size[k] > 0) continue;
      TaskId chosen = TaskId::none();
      double largest = 0;
      for (const TaskId task : partition.tasks()) {
        if (size[partition[task]] < 2) continue;
        const double regret =
            problem_.objective.excess(task, loss(task, partition[task]), own[task]);
        if (chosen == TaskId::none() || regret > largest) {
          chosen = task;
          largest = regret;
        }
      }
      --size[partition[chosen]];
      ++size[k];
      partition.move(chosen, k);
    }
  }

  const Problem& problem_;
  const SearchOptions& options_;
  Recorder recorder_;
  Rules rules_;
};

}  // namespace

SearchResult d2c_search(const Problem& problem, const SearchOptions& options) {
  return Alternation(problem, options).run();
}

}  // namespace d2c::cluster
