#include "refine/reassign.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "partition/sets.hpp"

namespace d2c::cluster {
namespace {

/// A merge configuration without some members. @pre others are left
MergeConfig without_members(const MergeConfig& config, const TaskSet& leaving) {
  MergeConfig left = config;
  left.members = without(config.members, leaving);
  if (config.weights.empty()) return left;
  left.weights.clear();
  double sum = 0;
  for (std::size_t i = 0; i < config.members.size(); ++i) {
    if (contains(leaving, config.members[i])) continue;
    left.weights.push_back(config.weights[i]);
    sum += config.weights[i];
  }
  for (double& weight : left.weights) weight /= sum;
  return left;
}

/// With more members, each of the mean weight.
MergeConfig with_members(const MergeConfig& config, const TaskSet& coming) {
  MergeConfig joined = config;
  joined.members = united(config.members, coming);
  if (config.weights.empty()) return joined;
  const auto before = static_cast<double>(config.members.size());
  const auto after = static_cast<double>(joined.members.size());
  joined.weights.clear();
  for (std::size_t i = 0, old = 0; i < joined.members.size(); ++i) {
    const bool stays = old < config.members.size() && config.members[old] == joined.members[i];
    joined.weights.push_back(stays ? config.weights[old] * before / after : 1 / after);
    if (stays) ++old;
  }
  return joined;
}

class Reassignment {
 public:
  Reassignment(ConfigLosses& losses, const Rules& rules, IdVector<ClusterId, MergeConfig>& configs)
      : losses_(losses), rules_(rules), configs_(configs) {}

  int run() {
    measure_own();
    const IdVector<BlockId, ClusterId> before = clusters_of_blocks();
    do measure_all();
    while (move_together() || move_singly());
    const IdVector<BlockId, ClusterId> after = clusters_of_blocks();
    int moved = 0;
    for (const BlockId b : rules_.blocks())
      if (before[b] != after[b]) moved += static_cast<int>(rules_.block(b).size());
    return moved;
  }

 private:
  struct Move {
    double promises;  ///< predicted change of the total cost
    BlockId block;
    ClusterId from;
    ClusterId to;
  };

  [[nodiscard]] IdVector<BlockId, ClusterId> clusters_of_blocks() const {
    IdVector<BlockId, ClusterId> cluster_of(rules_.n_blocks());
    for (const BlockId b : rules_.blocks())
      for (const ClusterId k : configs_.ids())
        if (contains(configs_[k].members, rules_.block(b).front())) cluster_of[b] = k;
    return cluster_of;
  }

  void measure_all() {
    std::vector<Query> queries;
    for (const ClusterId k : configs_.ids())
      for (const BlockId b : rules_.blocks())
        for (const TaskId task : rules_.block(b)) queries.push_back({k.index(), task});
    losses_.measure(configs_, queries);
  }

  /// Weighted cost of every block under the adapters of its tasks, each by its own.
  void measure_own() {
    std::vector<MergeConfig> alone;
    for (const BlockId b : rules_.blocks())
      for (const TaskId task : rules_.block(b)) alone.push_back({.members = {task}});
    losses_.measure_members(alone);
    own_ = IdVector<BlockId, double>(rules_.n_blocks());
    auto next = alone.begin();
    for (const BlockId b : rules_.blocks())
      for (const TaskId task : rules_.block(b))
        own_[b] += losses_.cost(*next++, task, losses_.choose());
  }

  /// Weighted cost of a block in a cluster above the own adapters.
  [[nodiscard]] double excess(BlockId block, ClusterId cluster) const {
    double sum = -own_[block];
    for (const TaskId task : rules_.block(block))
      sum += losses_.cost(configs_[cluster], task, losses_.choose());
    return sum;
  }

  /// Share of a block's adapters in its cluster.
  [[nodiscard]] double share(BlockId block, ClusterId cluster) const {
    const MergeConfig& config = configs_[cluster];
    if (config.weights.empty())
      return static_cast<double>(rules_.block(block).size()) /
             static_cast<double>(config.members.size());
    double sum = 0;
    for (std::size_t i = 0; i < config.members.size(); ++i)
      if (contains(rules_.block(block), config.members[i])) sum += config.weights[i];
    return sum;
  }

  /// The most promising move of every block, best first; for a loss that is quadratic in the
  /// distance from the weighted mean of a cluster, in which the block has share u:
  ///     n_to / (n_to + m) E[b, to] - E[b, from] / (1 - u),  E = cost above own adapter
  /// (Hartigan, "Clustering algorithms", 1975, chapter 4).
  [[nodiscard]] std::vector<Move> moves() const {
    const IdVector<BlockId, ClusterId> cluster_of = clusters_of_blocks();
    std::vector<Move> found;
    for (const BlockId b : rules_.blocks()) {
      const ClusterId from = cluster_of[b];
      const double u = share(b, from);
      if (!(u < 1)) continue;
      const double now = excess(b, from) / (1 - u);
      const auto m = static_cast<double>(rules_.block(b).size());
      Move best{0, b, from, from};
      for (const ClusterId to : configs_.ids()) {
        if (to == from) continue;
        const auto n = static_cast<double>(configs_[to].members.size());
        const double promises = n / (n + m) * excess(b, to) - now;
        if (promises < best.promises) best = {promises, b, from, to};
      }
      if (best.to != from) found.push_back(best);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Move& a, const Move& b) { return a.promises < b.promises; });
    return found;
  }

  /// The configurations after some moves; none if a cluster would be empty or break the rules.
  [[nodiscard]] IdVector<ClusterId, MergeConfig> after(std::span<const Move> moves) const {
    IdVector<ClusterId, TaskSet> leaving(configs_.n());
    IdVector<ClusterId, TaskSet> coming(configs_.n());
    for (const Move& move : moves) {
      leaving[move.from] = united(leaving[move.from], rules_.block(move.block));
      coming[move.to] = united(coming[move.to], rules_.block(move.block));
    }
    IdVector<ClusterId, MergeConfig> next = configs_;
    for (const ClusterId k : next.ids()) {
      if (leaving[k].empty() && coming[k].empty()) continue;
      // Members that stay carry the weights.
      if (leaving[k].size() == next[k].members.size()) return {};
      next[k] = with_members(without_members(next[k], leaving[k]), coming[k]);
      if (!rules_.allows(next[k].members)) return {};
    }
    return next;
  }

  [[nodiscard]] bool accept(IdVector<ClusterId, MergeConfig> next) {
    if (!(losses_.score(next, losses_.choose()) < losses_.score(configs_, losses_.choose())))
      return false;
    if (!is_confirmed(next)) return false;
    configs_ = std::move(next);
    return true;
  }

  [[nodiscard]] bool is_confirmed(const IdVector<ClusterId, MergeConfig>& next) const {
    const auto no_worse = [&](const FoldSet& folds) {
      return !(losses_.score(configs_, folds) < losses_.score(next, folds));
    };
    if (!losses_.others().empty()) return no_worse(losses_.others());
    return !losses_.cross_validates() ||
           std::all_of(losses_.choose().begin(), losses_.choose().end(),
                       [&](FoldId fold) { return no_worse({fold}); });
  }

  bool move_together() {
    const std::vector<Move> all = moves();
    for (std::size_t n = all.size(); n >= 2; n /= 2) {
      IdVector<ClusterId, MergeConfig> next = after(std::span(all).first(n));
      if (next.empty()) continue;
      losses_.measure_members(next);
      if (accept(std::move(next))) return true;
    }
    return false;
  }

  bool move_singly() {
    const int patience = 16 + rules_.n_blocks() / 4;
    bool improved = false;
    std::set<std::tuple<BlockId, TaskSet, TaskSet>> tried;
    for (int failures = 0; failures < patience;) {
      IdVector<ClusterId, char> busy(configs_.n());
      std::vector<Move> round;
      std::vector<MergeConfig> changed;
      for (const Move& move : moves()) {
        if (busy[move.from] || busy[move.to]) continue;
        if (!tried.insert({move.block, configs_[move.from].members, configs_[move.to].members})
                 .second)
          continue;
        const IdVector<ClusterId, MergeConfig> next = after(std::span(&move, 1));
        if (next.empty()) continue;
        busy[move.from] = busy[move.to] = 1;
        round.push_back(move);
        changed.push_back(next[move.from]);
        changed.push_back(next[move.to]);
      }
      if (round.empty()) break;
      losses_.measure_members(changed);
      for (const Move& move : round) {
        if (accept(after(std::span(&move, 1)))) {
          improved = true;
          failures = 0;
        } else {
          ++failures;
        }
      }
      if (improved) measure_all();
    }
    return improved;
  }

  ConfigLosses& losses_;
  const Rules& rules_;
  IdVector<ClusterId, MergeConfig>& configs_;
  IdVector<BlockId, double> own_;
};

}  // namespace

int reassign(ConfigLosses& losses, const Rules& rules, IdVector<ClusterId, MergeConfig>& configs) {
  return Reassignment(losses, rules, configs).run();
}

}  // namespace d2c::cluster
