#include "partition/rules.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

void check_tasks(const std::vector<std::pair<int, int>>& pairs, int n_tasks) {
  for (const auto& [a, b] : pairs)
    if (a < 0 || b < 0 || a >= n_tasks || b >= n_tasks || a == b)
      throw UsageError({fmt::format("a constraint names tasks {} and {}", a, b),
                        fmt::format("it needs two different tasks below {}", n_tasks), ""});
}

/// Lowest task of the group of every task.
std::vector<int> groups(const std::vector<std::pair<int, int>>& together, int n_tasks) {
  std::vector<int> lowest(at(n_tasks));
  std::iota(lowest.begin(), lowest.end(), 0);
  for (const auto& [a, b] : together) {
    const auto [to, from] = std::minmax(lowest[at(a)], lowest[at(b)]);
    const int keep = to;
    const int drop = from;
    std::replace(lowest.begin(), lowest.end(), drop, keep);
  }
  return lowest;
}

}  // namespace

Rules::Rules(const Constraints& constraints, int n_tasks, int k)
    : n_tasks_(n_tasks),
      k_(k),
      min_size_(std::max(constraints.min_size, 1)),
      max_size_(constraints.max_size > 0 ? constraints.max_size : n_tasks),
      unconstrained_(constraints.none()),
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
  const std::vector<int> lowest = groups(constraints.together, n_tasks);
  std::vector<int> block_of(at(n_tasks));
  for (int task = 0; task < n_tasks; ++task) {
    if (lowest[at(task)] == task) blocks_.emplace_back();
    block_of[at(task)] = lowest[at(task)] == task ? n_blocks() - 1 : block_of[at(lowest[at(task)])];
    blocks_[at(block_of[at(task)])].push_back(task);
  }
  for (const TaskSet& block : blocks_)
    if (static_cast<int>(block.size()) > max_size_)
      throw UsageError({fmt::format("{} tasks must stay together", block.size()),
                        fmt::format("a cluster may hold {} tasks", max_size_),
                        "allow larger clusters or drop some of these constraints"});
  apart_.resize(blocks_.size());
  for (const auto& [a, b] : constraints.apart) {
    const int block_a = block_of[at(a)];
    const int block_b = block_of[at(b)];
    if (block_a == block_b)
      throw UsageError({fmt::format("tasks {} and {} must be together and apart", a, b),
                        "the constraints contradict each other", "drop one of them"});
    apart_[at(block_a)].push_back(block_b);
    apart_[at(block_b)].push_back(block_a);
  }
}

bool Rules::allows_part(const TaskSet& set) const {
  if (static_cast<int>(set.size()) > max_size_) return false;
  return std::none_of(apart_tasks_.begin(), apart_tasks_.end(), [&set](const auto& pair) {
    return std::binary_search(set.begin(), set.end(), pair.first) &&
           std::binary_search(set.begin(), set.end(), pair.second);
  });
}

bool Rules::allows(const TaskSet& set) const {
  return set.empty() || (static_cast<int>(set.size()) >= min_size_ && allows_part(set));
}

bool Rules::allows(const Partition& partition) const {
  if (unconstrained_) return true;
  for (const TaskSet& block : blocks_)
    for (const int task : block)
      if (partition[task] != partition[block.front()]) return false;
  const std::vector<TaskSet> clusters = partition.clusters();
  return std::all_of(clusters.begin(), clusters.end(),
                     [this](const TaskSet& set) { return allows(set); });
}

/// One assignment of blocks to clusters under construction.
class Rules::Fitting {
 public:
  Fitting(const Rules& rules, const LossMatrix& cost, EmptyClusters empty)
      : rules_(rules),
        fill_all_(empty == EmptyClusters::refill),
        cost_(rules.n_blocks(), rules.k_),
        cluster_(at(rules.n_blocks()), -1),
        size_(at(rules.k_)),
        unplaced_(rules.n_tasks_) {
    for (int b = 0; b < rules.n_blocks(); ++b)
      for (int k = 0; k < rules.k_; ++k) {
        cost_(b, k) = 0;
        for (const int task : rules.block(b)) cost_(b, k) += cost(task, k);
      }
  }

  /// Places the blocks in the given order, each in the cheapest cluster that works out.
  bool place(const std::vector<int>& order, int max_steps) {
    std::vector<std::vector<int>> choices(order.size());
    std::vector<std::size_t> next(order.size());
    std::size_t depth = 0;
    int steps = 0;
    while (depth < order.size()) {
      const int b = order[depth];
      if (choices[depth].empty()) choices[depth] = by_cost(b);
      if (cluster_[at(b)] >= 0) remove(b);
      bool placed = false;
      while (next[depth] < choices[depth].size() && !placed) {
        const int k = choices[depth][next[depth]++];
        // Clusters that are empty differ only in cost: where one fails, all do.
        if (size_[at(k)] == 0 && tried_empty(choices[depth], next[depth] - 1)) continue;
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
    for (int b = 0; b < rules_.n_blocks(); ++b)
      if (cluster_[at(b)] >= 0) remove(b);
  }

  /// Relocations and swaps that lower the total cost, until there is none.
  void improve() {
    constexpr int max_passes = 20;
    bool changed = true;
    for (int pass = 0; pass < max_passes && changed; ++pass) {
      changed = false;
      for (int b = 0; b < rules_.n_blocks(); ++b) changed = relocate(b) || changed;
      for (int b = 0; b < rules_.n_blocks(); ++b)
        for (int other = b + 1; other < rules_.n_blocks(); ++other)
          changed = swap(b, other) || changed;
    }
  }

  [[nodiscard]] Partition partition() const {
    Assignment assignment(at(rules_.n_tasks_));
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (const int task : rules_.block(b)) assignment[at(task)] = cluster_[at(b)];
    return {std::move(assignment), rules_.k_};
  }

  /// Blocks whose second best cluster is much worse than the best come first.
  [[nodiscard]] std::vector<int> by_regret() const {
    std::vector<double> regret;
    for (int b = 0; b < rules_.n_blocks(); ++b) {
      const std::vector<int> order = by_cost(b);
      regret.push_back(order.size() < 2 ? 0 : cost_(b, order[1]) - cost_(b, order[0]));
    }
    std::vector<int> order = all_blocks();
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return regret[at(a)] > regret[at(b)]; });
    return order;
  }

  /// Blocks that are hard to place come first: many conflicts, then many tasks.
  [[nodiscard]] std::vector<int> by_difficulty() const {
    std::vector<int> order = all_blocks();
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
      return std::pair(rules_.apart_[at(a)].size(), rules_.block(a).size()) >
             std::pair(rules_.apart_[at(b)].size(), rules_.block(b).size());
    });
    return order;
  }

 private:
  [[nodiscard]] int weight(int b) const { return static_cast<int>(rules_.block(b).size()); }

  [[nodiscard]] std::vector<int> all_blocks() const {
    std::vector<int> order(at(rules_.n_blocks()));
    std::iota(order.begin(), order.end(), 0);
    return order;
  }

  [[nodiscard]] std::vector<int> by_cost(int b) const {
    std::vector<int> order(at(rules_.k_));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int x, int y) { return cost_(b, x) < cost_(b, y); });
    return order;
  }

  [[nodiscard]] bool tried_empty(const std::vector<int>& choices, std::size_t end) const {
    return std::any_of(choices.begin(), choices.begin() + static_cast<std::ptrdiff_t>(end),
                       [this](int k) { return size_[at(k)] == 0; });
  }

  [[nodiscard]] bool conflicts(int b, int k, int except = -1) const {
    return std::any_of(rules_.apart_[at(b)].begin(), rules_.apart_[at(b)].end(),
                       [&](int other) { return other != except && cluster_[at(other)] == k; });
  }

  [[nodiscard]] bool fits(int b, int k) const {
    return size_[at(k)] + weight(b) <= rules_.max_size_ && !conflicts(b, k);
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

  void add(int b, int k) {
    cluster_[at(b)] = k;
    size_[at(k)] += weight(b);
    unplaced_ -= weight(b);
  }

  void remove(int b) {
    size_[at(cluster_[at(b)])] -= weight(b);
    unplaced_ += weight(b);
    cluster_[at(b)] = -1;
  }

  bool relocate(int b) {
    const int from = cluster_[at(b)];
    int best = from;
    for (int k = 0; k < rules_.k_; ++k)
      if (cost_(b, k) < cost_(b, best) && size_is_fine(size_[at(from)] - weight(b)) &&
          size_is_fine(size_[at(k)] + weight(b)) && !conflicts(b, k))
        best = k;
    if (best == from) return false;
    remove(b);
    add(b, best);
    return true;
  }

  bool swap(int a, int b) {
    const int from = cluster_[at(a)];
    const int to = cluster_[at(b)];
    const int shift = weight(b) - weight(a);
    if (from == to || cost_(a, to) + cost_(b, from) >= cost_(a, from) + cost_(b, to) ||
        !size_is_fine(size_[at(from)] + shift) || !size_is_fine(size_[at(to)] - shift) ||
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
  LossMatrix cost_;           // [n_blocks, k]
  std::vector<int> cluster_;  // [n_blocks]; -1 = not placed
  std::vector<int> size_;     // [k] tasks
  int unplaced_;              // tasks
};

Partition Rules::fit(const LossMatrix& cost, EmptyClusters empty) const {
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
           "ask for more clusters or drop some constraints"});
  }
  fitting.improve();
  return fitting.partition();
}

Partition Rules::repaired(const Partition& partition, EmptyClusters empty) const {
  const bool full = empty == EmptyClusters::allow || partition.n_nonempty() == k_;
  if (full && allows(partition)) return partition;
  LossMatrix cost(n_tasks_, k_);
  for (int task = 0; task < n_tasks_; ++task)
    for (int k = 0; k < k_; ++k) cost(task, k) = partition[task] == k ? 0 : 1;
  return fit(cost, empty);
}

void check_constraints(const Constraints& constraints, int n_tasks, int k) {
  const Rules rules(constraints, n_tasks, k);
  LossMatrix cost(n_tasks, k);
  std::fill(cost.values.begin(), cost.values.end(), 0.0);
  static_cast<void>(rules.fit(cost, EmptyClusters::allow));
}

}  // namespace d2c::cluster
