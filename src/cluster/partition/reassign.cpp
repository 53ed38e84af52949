#include "partition/reassign.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "partition/sets.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// A cluster's recipe without some members. @pre others are left
Recipe without_members(const Recipe& recipe, const TaskSet& leaving) {
  Recipe left = recipe;
  left.members = without(recipe.members, leaving);
  if (recipe.weights.empty()) return left;
  left.weights.clear();
  double sum = 0;
  for (std::size_t i = 0; i < recipe.members.size(); ++i) {
    if (std::binary_search(leaving.begin(), leaving.end(), recipe.members[i])) continue;
    left.weights.push_back(recipe.weights[i]);
    sum += recipe.weights[i];
  }
  for (double& weight : left.weights) weight /= sum;
  return left;
}

/// With more members, each of the mean weight.
Recipe with_members(const Recipe& recipe, const TaskSet& coming) {
  Recipe joined = recipe;
  joined.members = united(recipe.members, coming);
  if (recipe.weights.empty()) return joined;
  const auto before = static_cast<double>(recipe.members.size());
  const auto after = static_cast<double>(joined.members.size());
  joined.weights.clear();
  for (std::size_t i = 0, old = 0; i < joined.members.size(); ++i) {
    const bool stays = old < recipe.members.size() && recipe.members[old] == joined.members[i];
    joined.weights.push_back(stays ? recipe.weights[old] * before / after : 1 / after);
    if (stays) ++old;
  }
  return joined;
}

class Reassignment {
 public:
  Reassignment(RecipeLosses& losses, const Rules& rules, std::vector<Recipe>& recipes)
      : losses_(losses), rules_(rules), recipes_(recipes) {}

  int run() {
    measure_own();
    const std::vector<int> before = clusters_of_blocks();
    do measure_all();
    while (move_together() || move_singly());
    const std::vector<int> after = clusters_of_blocks();
    int moved = 0;
    for (int b = 0; b < rules_.n_blocks(); ++b)
      if (before[at(b)] != after[at(b)]) moved += static_cast<int>(rules_.block(b).size());
    return moved;
  }

 private:
  struct Move {
    double promises;  ///< predicted change of the total cost
    int block;
    int from;
    int to;
  };

  [[nodiscard]] std::vector<int> clusters_of_blocks() const {
    std::vector<int> cluster_of(at(rules_.n_blocks()));
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (std::size_t k = 0; k < recipes_.size(); ++k)
        if (std::binary_search(recipes_[k].members.begin(), recipes_[k].members.end(),
                               rules_.block(b).front()))
          cluster_of[at(b)] = static_cast<int>(k);
    return cluster_of;
  }

  void measure_all() {
    std::vector<Query> queries;
    for (std::size_t k = 0; k < recipes_.size(); ++k)
      for (int b = 0; b < rules_.n_blocks(); ++b)
        for (const int task : rules_.block(b)) queries.push_back({static_cast<int>(k), task});
    losses_.measure(recipes_, queries);
  }

  /// Weighted cost of every block under the adapters of its tasks, each by its own.
  void measure_own() {
    std::vector<Recipe> alone;
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (const int task : rules_.block(b)) alone.push_back({.members = {task}});
    losses_.measure_members(alone);
    own_.assign(at(rules_.n_blocks()), 0.0);
    auto next = alone.begin();
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (const int task : rules_.block(b))
        own_[at(b)] += losses_.cost(*next++, task, losses_.choose());
  }

  /// Weighted cost of a block in a cluster above the own adapters.
  [[nodiscard]] double excess(int block, int cluster) const {
    double sum = -own_[at(block)];
    for (const int task : rules_.block(block))
      sum += losses_.cost(recipes_[at(cluster)], task, losses_.choose());
    return sum;
  }

  /// Share of a block's adapters in its cluster.
  [[nodiscard]] double share(int block, int cluster) const {
    const Recipe& recipe = recipes_[at(cluster)];
    if (recipe.weights.empty())
      return static_cast<double>(rules_.block(block).size()) /
             static_cast<double>(recipe.members.size());
    double sum = 0;
    for (std::size_t i = 0; i < recipe.members.size(); ++i)
      if (std::binary_search(rules_.block(block).begin(), rules_.block(block).end(),
                             recipe.members[i]))
        sum += recipe.weights[i];
    return sum;
  }

  /// The most promising move of every block, best first; for a loss that is quadratic in the
  /// distance from the weighted mean of a cluster, in which the block has share u:
  ///     n_to / (n_to + m) E[b, to] - E[b, from] / (1 - u),  E = cost above own adapter
  /// (Hartigan, "Clustering algorithms", 1975, chapter 4).
  [[nodiscard]] std::vector<Move> moves() const {
    const std::vector<int> cluster_of = clusters_of_blocks();
    std::vector<Move> found;
    for (int b = 0; b < rules_.n_blocks(); ++b) {
      const int from = cluster_of[at(b)];
      const double u = share(b, from);
      if (!(u < 1)) continue;
      const double now = excess(b, from) / (1 - u);
      const auto m = static_cast<double>(rules_.block(b).size());
      Move best{0, b, from, from};
      for (int to = 0; to < static_cast<int>(recipes_.size()); ++to) {
        if (to == from) continue;
        const auto n = static_cast<double>(recipes_[at(to)].members.size());
        const double promises = n / (n + m) * excess(b, to) - now;
        if (promises < best.promises) best = {promises, b, from, to};
      }
      if (best.to != from) found.push_back(best);
    }
    std::stable_sort(found.begin(), found.end(),
                     [](const Move& a, const Move& b) { return a.promises < b.promises; });
    return found;
  }

  /// The recipes after some moves; none if a cluster would be empty or break the rules.
  [[nodiscard]] std::vector<Recipe> after(std::span<const Move> moves) const {
    std::vector<TaskSet> leaving(recipes_.size());
    std::vector<TaskSet> coming(recipes_.size());
    for (const Move& move : moves) {
      leaving[at(move.from)] = united(leaving[at(move.from)], rules_.block(move.block));
      coming[at(move.to)] = united(coming[at(move.to)], rules_.block(move.block));
    }
    std::vector<Recipe> next = recipes_;
    for (std::size_t k = 0; k < next.size(); ++k) {
      if (leaving[k].empty() && coming[k].empty()) continue;
      // Members that stay carry the weights.
      if (leaving[k].size() == next[k].members.size()) return {};
      next[k] = with_members(without_members(next[k], leaving[k]), coming[k]);
      if (!rules_.allows(next[k].members)) return {};
    }
    return next;
  }

  [[nodiscard]] bool accept(std::vector<Recipe> next) {
    if (!(losses_.score(next, losses_.choose()) < losses_.score(recipes_, losses_.choose())))
      return false;
    if (!is_confirmed(next)) return false;
    recipes_ = std::move(next);
    return true;
  }

  [[nodiscard]] bool is_confirmed(const std::vector<Recipe>& next) const {
    const auto no_worse = [&](const FoldSet& folds) {
      return !(losses_.score(recipes_, folds) < losses_.score(next, folds));
    };
    if (!losses_.others().empty()) return no_worse(losses_.others());
    return !losses_.cross_validates() ||
           std::all_of(losses_.choose().begin(), losses_.choose().end(),
                       [&](int fold) { return no_worse({fold}); });
  }

  bool move_together() {
    const std::vector<Move> all = moves();
    for (std::size_t n = all.size(); n >= 2; n /= 2) {
      std::vector<Recipe> next = after(std::span(all).first(n));
      if (next.empty()) continue;
      losses_.measure_members(next);
      if (accept(std::move(next))) return true;
    }
    return false;
  }

  bool move_singly() {
    const int patience = 16 + rules_.n_blocks() / 4;
    bool improved = false;
    std::set<std::tuple<int, TaskSet, TaskSet>> tried;
    for (int failures = 0; failures < patience;) {
      std::vector<char> busy(recipes_.size());
      std::vector<Move> round;
      std::vector<Recipe> changed;
      for (const Move& move : moves()) {
        if (busy[at(move.from)] || busy[at(move.to)]) continue;
        if (!tried
                 .insert(
                     {move.block, recipes_[at(move.from)].members, recipes_[at(move.to)].members})
                 .second)
          continue;
        const std::vector<Recipe> next = after(std::span(&move, 1));
        if (next.empty()) continue;
        busy[at(move.from)] = busy[at(move.to)] = 1;
        round.push_back(move);
        changed.push_back(next[at(move.from)]);
        changed.push_back(next[at(move.to)]);
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

  RecipeLosses& losses_;
  const Rules& rules_;
  std::vector<Recipe>& recipes_;
  std::vector<double> own_;  // [blocks]
};

}  // namespace

int reassign(RecipeLosses& losses, const Rules& rules, std::vector<Recipe>& recipes) {
  return Reassignment(losses, rules, recipes).run();
}

}  // namespace d2c::cluster
