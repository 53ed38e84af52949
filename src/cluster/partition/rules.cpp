#include "partition/rules.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "partition/sets.hpp"

namespace d2c::cluster {
namespace {

using Pairs = std::vector<std::pair<TaskId, TaskId>>;

void check_tasks(const Pairs& pairs, int n_tasks) {
  for (const auto& [a, b] : pairs)
    if (a < 0 || b < 0 || a.value() >= n_tasks || b.value() >= n_tasks || a == b)
      throw UsageError({fmt::format("a constraint names tasks {} and {}", a, b),
                        fmt::format("it needs two different tasks below {}", n_tasks), ""});
}

/// Lowest task of the group of every task.
IdVector<TaskId, TaskId> groups(const Pairs& together, int n_tasks) {
  IdVector<TaskId, TaskId> lowest;
  for (const TaskId task : ids<TaskId>(n_tasks)) lowest.push_back(task);
  for (const auto& [a, b] : together) {
    const TaskId keep = std::min(lowest[a], lowest[b]);
    const TaskId drop = std::max(lowest[a], lowest[b]);
    std::replace(lowest.begin(), lowest.end(), drop, keep);
  }
  return lowest;
}

int size(const TaskSet& set) { return static_cast<int>(set.size()); }

}  // namespace

Rules::Rules(const Constraints& constraints, int n_tasks, int k)
    : n_tasks_(n_tasks),
      k_(k),
      min_size_(std::max(constraints.min_size, 1)),
      max_size_(constraints.max_size > 0 ? constraints.max_size : n_tasks),
      unconstrained_(constraints.none()),
      block_of_(n_tasks),
      apart_tasks_(constraints.apart) {
  check_tasks(constraints.together, n_tasks);
  check_tasks(constraints.apart, n_tasks);
  if (min_size_ > max_size_)
    throw UsageError({fmt::format("clusters of at least {} and at most {} tasks are asked for",
                                  min_size_, max_size_),
                      "no cluster can have such a size", "lower the minimum or raise the maximum"});
  if (static_cast<std::int64_t>(k) * max_size_ < n_tasks)
    throw UsageError({fmt::format("{} clusters of at most {} tasks are asked for", k, max_size_),
                      fmt::format("they cannot hold {} tasks", n_tasks),
                      "ask for more or larger clusters"});
  const IdVector<TaskId, TaskId> lowest = groups(constraints.together, n_tasks);
  for (const TaskId task : lowest.ids()) {
    block_of_[task] = lowest[task] == task ? BlockId(n_blocks()) : block_of_[lowest[task]];
    if (lowest[task] == task) blocks_.emplace_back();
    blocks_[block_of_[task]].push_back(task);
  }
  for (const TaskSet& block : blocks_)
    if (size(block) > max_size_)
      throw UsageError({fmt::format("{} tasks must stay together", block.size()),
                        fmt::format("a cluster may hold {} tasks", max_size_),
                        "allow larger clusters or drop some of these constraints"});
  apart_.resize(blocks_.size());
  for (const auto& [a, b] : constraints.apart) {
    if (block_of_[a] == block_of_[b])
      throw UsageError({fmt::format("tasks {} and {} must be together and apart", a, b),
                        "the constraints contradict each other", "drop one of them"});
    apart_[block_of_[a]].push_back(block_of_[b]);
    apart_[block_of_[b]].push_back(block_of_[a]);
  }
}

std::vector<BlockId> Rules::blocks_in(const TaskSet& set) const {
  std::vector<BlockId> blocks;
  for (const TaskId task : set)
    if (block(block_of(task)).front() == task) blocks.push_back(block_of(task));
  return blocks;
}

bool Rules::allows_part(const TaskSet& set) const {
  if (size(set) > max_size_) return false;
  return std::none_of(apart_tasks_.begin(), apart_tasks_.end(), [&set](const auto& pair) {
    return contains(set, pair.first) && contains(set, pair.second);
  });
}

bool Rules::allows(const TaskSet& set) const {
  return set.empty() || (size(set) >= min_size_ && allows_part(set));
}

bool Rules::allows(const Partition& partition) const {
  if (unconstrained_) return true;
  for (const TaskSet& block : blocks_)
    for (const TaskId task : block)
      if (partition[task] != partition[block.front()]) return false;
  const IdVector<ClusterId, TaskSet> clusters = partition.clusters();
  return std::all_of(clusters.begin(), clusters.end(),
                     [this](const TaskSet& set) { return allows(set); });
}

/// One assignment of blocks to clusters under construction.
class Rules::Fitting {
 public:
  Fitting(const Rules& rules, const CostMatrix& cost, EmptyClusters empty)
      : rules_(rules),
        fill_all_(empty == EmptyClusters::refill),
        cost_(rules.n_blocks(), rules.k_),
        cluster_(rules.n_blocks(), ClusterId::none()),
        size_(rules.k_),
        unplaced_(rules.n_tasks_) {
    for (const BlockId b : rules.blocks())
      for (const ClusterId k : size_.ids())
        for (const TaskId task : rules.block(b)) cost_(b, k) += cost(task, k);
  }

  /// Places the blocks in the given order, each in the cheapest cluster that works out.
  bool place(const std::vector<BlockId>& order, int max_steps) {
    std::vector<std::vector<ClusterId>> choices(order.size());
    std::vector<std::size_t> next(order.size());
    std::size_t depth = 0;
    int steps = 0;
    while (depth < order.size()) {
      const BlockId b = order[depth];
      if (choices[depth].empty()) choices[depth] = by_cost(b);
      if (cluster_[b] >= 0) remove(b);
      bool placed = false;
      while (next[depth] < choices[depth].size() && !placed) {
        const ClusterId k = choices[depth][next[depth]++];
        // Clusters that are empty differ only in cost: where one fails, all do.
        if (size_[k] == 0 && tried_empty(choices[depth], next[depth] - 1)) continue;
        placed = fits(b, k);
        if (!placed) continue;
        add(b, k);
        if (deficit() <= unplaced_) break;
        remove(b);
        placed = false;
      }
      if (placed) {
        ++depth;
        continue;
      }
      if (depth == 0 || ++steps > max_steps) return false;
      choices[depth].clear();
      next[depth] = 0;
      --depth;
    }
    return true;
  }

  void reset() {
    for (const BlockId b : rules_.blocks())
      if (cluster_[b] >= 0) remove(b);
  }

  /// Relocations and swaps that lower the total cost, until there is none.
  void improve() {
    constexpr int max_passes = 20;
    bool changed = true;
    for (int pass = 0; pass < max_passes && changed; ++pass) {
      changed = false;
      for (const BlockId b : rules_.blocks()) changed = relocate(b) || changed;
      for (const BlockId b : rules_.blocks())
        for (const BlockId other : rules_.blocks())
          if (b < other) changed = swap(b, other) || changed;
    }
  }

  [[nodiscard]] Partition partition() const {
    Assignment assignment(rules_.n_tasks_);
    for (const BlockId b : rules_.blocks())
      for (const TaskId task : rules_.block(b)) assignment[task] = cluster_[b];
    return {std::move(assignment), rules_.k_};
  }

  /// Blocks whose second best cluster is much worse than the best come first.
  [[nodiscard]] std::vector<BlockId> by_regret() const {
    IdVector<BlockId, double> regret;
    for (const BlockId b : rules_.blocks()) {
      const std::vector<ClusterId> order = by_cost(b);
      regret.push_back(order.size() < 2 ? 0 : cost_(b, order[1]) - cost_(b, order[0]));
    }
    std::vector<BlockId> order = all_blocks();
    std::stable_sort(order.begin(), order.end(),
                     [&](BlockId a, BlockId b) { return regret[a] > regret[b]; });
    return order;
  }

  /// Blocks that are hard to place come first: many conflicts, then many tasks.
  [[nodiscard]] std::vector<BlockId> by_difficulty() const {
    std::vector<BlockId> order = all_blocks();
    std::stable_sort(order.begin(), order.end(), [&](BlockId a, BlockId b) {
      return std::pair(rules_.apart_[a].size(), rules_.block(a).size()) >
             std::pair(rules_.apart_[b].size(), rules_.block(b).size());
    });
    return order;
  }

 private:
  [[nodiscard]] int weight(BlockId b) const { return cluster::size(rules_.block(b)); }

  [[nodiscard]] std::vector<BlockId> all_blocks() const {
    return {rules_.blocks().begin(), rules_.blocks().end()};
  }

  [[nodiscard]] std::vector<ClusterId> by_cost(BlockId b) const {
    std::vector<ClusterId> order(size_.ids().begin(), size_.ids().end());
    std::stable_sort(order.begin(), order.end(),
                     [&](ClusterId x, ClusterId y) { return cost_(b, x) < cost_(b, y); });
    return order;
  }

  [[nodiscard]] bool tried_empty(const std::vector<ClusterId>& choices, std::size_t end) const {
    return std::any_of(choices.begin(), choices.begin() + static_cast<std::ptrdiff_t>(end),
                       [this](ClusterId k) { return size_[k] == 0; });
  }

  [[nodiscard]] bool conflicts(BlockId b, ClusterId k, BlockId except = BlockId::none()) const {
    return std::any_of(rules_.apart_[b].begin(), rules_.apart_[b].end(),
                       [&](BlockId other) { return other != except && cluster_[other] == k; });
  }

  [[nodiscard]] bool fits(BlockId b, ClusterId k) const {
    return size_[k] + weight(b) <= rules_.max_size_ && !conflicts(b, k);
  }

  /// Tasks that are still needed to bring all clusters to their least size.
  [[nodiscard]] int deficit() const {
    int total = 0;
    for (const int size : size_)
      if (size > 0 || fill_all_) total += std::max(0, rules_.min_size_ - size);
    return total;
  }

  [[nodiscard]] bool size_is_fine(int size) const {
    if (size == 0) return !fill_all_;
    return size >= rules_.min_size_ && size <= rules_.max_size_;
  }

  void add(BlockId b, ClusterId k) {
    cluster_[b] = k;
    size_[k] += weight(b);
    unplaced_ -= weight(b);
  }

  void remove(BlockId b) {
    size_[cluster_[b]] -= weight(b);
    unplaced_ += weight(b);
    cluster_[b] = ClusterId::none();
  }

  bool relocate(BlockId b) {
    const ClusterId from = cluster_[b];
    ClusterId best = from;
    for (const ClusterId k : size_.ids())
      if (cost_(b, k) < cost_(b, best) && size_is_fine(size_[from] - weight(b)) &&
          size_is_fine(size_[k] + weight(b)) && !conflicts(b, k))
        best = k;
    if (best == from) return false;
    remove(b);
    add(b, best);
    return true;
  }

  bool swap(BlockId a, BlockId b) {
    const ClusterId from = cluster_[a];
    const ClusterId to = cluster_[b];
    const int shift = weight(b) - weight(a);
    if (from == to || cost_(a, to) + cost_(b, from) >= cost_(a, from) + cost_(b, to) ||
        !size_is_fine(size_[from] + shift) || !size_is_fine(size_[to] - shift) ||
        conflicts(a, to, b) || conflicts(b, from, a))
      return false;
    remove(a);
    remove(b);
    add(a, to);
    add(b, from);
    return true;
  }

  const Rules& rules_;
  bool fill_all_;
  IdMatrix<BlockId, ClusterId> cost_;
  IdVector<BlockId, ClusterId> cluster_;  // none() = not placed
  IdVector<ClusterId, int> size_;         // tasks
  int unplaced_;                          // tasks
};

Partition Rules::fit(const CostMatrix& cost, EmptyClusters empty) const {
  constexpr int max_steps = 200000;
  Fitting fitting(*this, cost, empty);
  if (!fitting.place(fitting.by_regret(), 0)) {
    fitting.reset();
    if (!fitting.place(fitting.by_difficulty(), max_steps))
      throw UsageError(
          {fmt::format("no partition of {} tasks into {} clusters was found that meets "
                       "the constraints",
                       n_tasks_, k_),
           "cluster sizes and tasks kept together or apart leave no way",
           empty == EmptyClusters::refill ? "allow empty clusters or drop some constraints"
                                          : "ask for more clusters or drop some constraints"});
  }
  fitting.improve();
  return fitting.partition();
}

Partition Rules::repaired(const Partition& partition, EmptyClusters empty) const {
  const bool full = empty == EmptyClusters::allow || partition.n_nonempty() == k_;
  if (full && allows(partition)) return partition;
  CostMatrix cost(n_tasks_, k_);
  for (const TaskId task : cost.rows())
    for (const ClusterId k : cost.columns()) cost(task, k) = partition[task] == k ? 0 : 1;
  return fit(cost, empty);
}

void check_constraints(const Constraints& constraints, int n_tasks, int k) {
  const Rules rules(constraints, n_tasks, k);
  static_cast<void>(rules.fit(CostMatrix(n_tasks, k), EmptyClusters::allow));
}

}  // namespace d2c::cluster
