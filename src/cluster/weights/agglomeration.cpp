#include "weights/agglomeration.hpp"

#include <algorithm>
#include <limits>

#include "loss/once.hpp"
#include "partition/sets.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

constexpr double infinite = std::numeric_limits<double>::infinity();

/// Of a set of tasks: that of a union of disjoint sets is the sum. Finalizer of splitmix64.
std::uint64_t content(const TaskSet& set) {
  std::uint64_t sum = 0;
  for (const int task : set) {
    std::uint64_t z = (static_cast<std::uint64_t>(task) + 1) * 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    sum += z ^ (z >> 31);
  }
  return sum;
}

}  // namespace

/// The clusters of one run, and the sums of the model over them.
class Agglomeration::Clusters {
 public:
  Clusters(const SimilarityMatrix& similarity, std::vector<TaskSet> sets)
      : similarity_(similarity), sets_(std::move(sets)), to_(similarity.n(), size()) {
    for (const TaskSet& set : sets_) contents_.push_back(content(set));
    std::fill(to_.values.begin(), to_.values.end(), 0.0);
    for (int task = 0; task < similarity.n(); ++task)
      for (int c = 0; c < size(); ++c)
        for (const int other : sets_[at(c)]) to_(task, c) += similarity(task, other);
  }

  [[nodiscard]] int size() const { return static_cast<int>(sets_.size()); }
  [[nodiscard]] const TaskSet& operator[](int c) const { return sets_[at(c)]; }
  [[nodiscard]] const std::vector<TaskSet>& sets() const { return sets_; }
  [[nodiscard]] std::uint64_t content_of(int c) const { return contents_[at(c)]; }

  /// Cluster b becomes part of a. Call compact() before anything else.
  void merge(int a, int b) {
    sets_[at(a)] = united(sets_[at(a)], sets_[at(b)]);
    contents_[at(a)] += contents_[at(b)];
    for (int task = 0; task < similarity_.n(); ++task) to_(task, a) += to_(task, b);
    sets_[at(b)].clear();
  }

  void compact() {
    std::vector<int> kept;
    for (int c = 0; c < size(); ++c)
      if (!sets_[at(c)].empty()) kept.push_back(c);
    for (std::size_t c = 0; c < kept.size(); ++c) {
      if (c != at(kept[c])) sets_[c] = std::move(sets_[at(kept[c])]);
      contents_[c] = contents_[at(kept[c])];
    }
    // In place: this is the largest thing that the agglomeration holds.
    auto next = to_.values.begin();
    for (int task = 0; task < similarity_.n(); ++task)
      for (const int c : kept) *next++ = to_(task, c);
    to_.values.erase(next, to_.values.end());
    to_.k = static_cast<int>(kept.size());
    sets_.resize(kept.size());
    contents_.resize(kept.size());
  }

  /// Sums over members i of a and j of b of G[i,j], and of h_i G[i,j]; of h_i; of h_i G[i,i].
  void refit(std::span<const double> sensitivity) {
    total_ = weighted_ = LossMatrix(size(), size());
    std::fill(total_.values.begin(), total_.values.end(), 0.0);
    std::fill(weighted_.values.begin(), weighted_.values.end(), 0.0);
    weight_.assign(at(size()), 0.0);
    diagonal_.assign(at(size()), 0.0);
    for (int a = 0; a < size(); ++a)
      for (const int task : sets_[at(a)]) {
        const double h = sensitivity[at(task)];
        weight_[at(a)] += h;
        diagonal_[at(a)] += h * similarity_(task, task);
        for (int b = 0; b < size(); ++b) {
          total_(a, b) += to_(task, b);
          weighted_(a, b) += h * to_(task, b);
        }
      }
  }

  /// Cost of a cluster by the model.
  [[nodiscard]] double modelled(int a) const {
    const auto n = static_cast<double>(sets_[at(a)].size());
    return diagonal_[at(a)] - 2 * weighted_(a, a) / n + weight_[at(a)] * total_(a, a) / (n * n);
  }
  /// The same for the union of two.
  [[nodiscard]] double modelled(int a, int b) const {
    const auto n = static_cast<double>(sets_[at(a)].size() + sets_[at(b)].size());
    const double weighted = weighted_(a, a) + weighted_(a, b) + weighted_(b, a) + weighted_(b, b);
    const double total = total_(a, a) + 2 * total_(a, b) + total_(b, b);
    return diagonal_[at(a)] + diagonal_[at(b)] - 2 * weighted / n +
           (weight_[at(a)] + weight_[at(b)]) * total / (n * n);
  }

  std::vector<double> cost;  ///< measured, of every cluster

 private:
  const SimilarityMatrix& similarity_;
  std::vector<TaskSet> sets_;
  std::vector<std::uint64_t> contents_;
  LossMatrix to_;  // [task, cluster] sum of similarities to the members
  LossMatrix total_;
  LossMatrix weighted_;
  std::vector<double> weight_;
  std::vector<double> diagonal_;
};

Agglomeration::Agglomeration(const Problem& problem, const Rules& rules, Recorder& recorder,
                             SimilarityMatrix similarity, std::span<const double> own)
    : problem_(problem),
      rules_(rules),
      recorder_(recorder),
      similarity_(std::move(similarity)),
      own_(own.begin(), own.end()),
      xy_(own.size() + 1),
      xx_(own.size() + 1) {}

/// Every block a cluster. Of very many blocks, the most similar ones share a cluster from the
/// start.
const std::vector<TaskSet>& Agglomeration::first_clusters(int k) {
  if (!first_.empty()) return first_;
  constexpr int most = 1024;
  const int few = std::max(most, 4 * k);
  if (rules_.n_blocks() <= few || !rules_.unconstrained()) {
    for (int b = 0; b < rules_.n_blocks(); ++b) first_.push_back(rules_.block(b));
  } else {
    first_ =
        found_once(problem_, few, [&] { return average_linkage(similarity_, few); }).clusters();
  }
  return first_;
}

double Agglomeration::excess(int task, double loss) const {
  const Objective& objective = problem_.objective;
  return objective.weight(task) *
         (objective.cost(task, loss) - objective.cost(task, own_[at(task)]));
}

void Agglomeration::learn(const TaskSet& set, std::span<const double> losses) {
  const auto n = static_cast<double>(set.size());
  std::vector<double> mean;
  double within = 0;
  for (const int i : set) {
    double sum = 0;
    for (const int j : set) sum += similarity_(i, j);
    mean.push_back(sum / n);
    within += sum / (n * n);
  }
  for (std::size_t i = 0; i < set.size(); ++i) {
    const double x = std::max(0.0, similarity_(set[i], set[i]) - 2 * mean[i] + within);
    const double y = std::max(0.0, excess(set[i], losses[i]));
    for (const std::size_t of : {at(set[i]), own_.size()}) {
      xy_[of] += x * y;
      xx_[of] += x * x;
    }
  }
}

/// Least squares, drawn towards the sensitivity of all.
double Agglomeration::sensitivity(int task) const {
  constexpr double prior = 0.1;
  const double common = xx_.back() > 0 ? xy_.back() / xx_.back() : 1;
  return (xy_[at(task)] + prior * common) / (xx_[at(task)] + prior);
}

std::vector<double> Agglomeration::measure(const std::vector<TaskSet>& sets) {
  std::vector<Query> queries;
  for (std::size_t i = 0; i < sets.size(); ++i)
    for (const int task : sets[i]) queries.push_back({static_cast<int>(i), task});
  const std::vector<double> losses = problem_.oracle.losses(sets, queries);
  std::vector<double> costs;
  std::size_t from = 0;
  for (const TaskSet& set : sets) {
    const auto of_set = std::span(losses).subspan(from, set.size());
    from += set.size();
    double cost = 0;
    for (std::size_t i = 0; i < set.size(); ++i) cost += excess(set[i], of_set[i]);
    costs.push_back(cost);
    if (known_.try_emplace(content(set), Known{set, cost}).second) learn(set, of_set);
  }
  return costs;
}

/// Pairs that are each other's best, best first.
std::vector<Agglomeration::Pair> Agglomeration::mutual_best(const Clusters& clusters,
                                                            double caution) const {
  const int n = clusters.size();
  // A cluster that was chosen for its low cost owes some of it to luck, that a union will not have.
  std::vector<double> base;
  for (int c = 0; c < n; ++c)
    base.push_back((1 - caution) * clusters.cost[at(c)] + caution * clusters.modelled(c));
  std::vector<Pair> best(at(n), Pair{infinite, -1, -1, false});
  for (int a = 0; a < n; ++a)
    for (int b = a + 1; b < n; ++b) {
      if (!rules_.unconstrained() && !rules_.allows_part(united(clusters[a], clusters[b])))
        continue;
      Pair pair{clusters.modelled(a, b) - base[at(a)] - base[at(b)], a, b, false};
      const auto found = known_.find(clusters.content_of(a) + clusters.content_of(b));
      if (found != known_.end() && found->second.set == united(clusters[a], clusters[b]))
        pair = {found->second.cost - clusters.cost[at(a)] - clusters.cost[at(b)], a, b, true};
      if (pair.increase < best[at(a)].increase) best[at(a)] = pair;
      if (pair.increase < best[at(b)].increase) best[at(b)] = pair;
    }
  std::vector<Pair> mutual;
  for (int a = 0; a < n; ++a) {
    const Pair& pair = best[at(a)];
    if (pair.a == a && best[at(pair.b)].a == a) mutual.push_back(pair);
  }
  std::stable_sort(mutual.begin(), mutual.end(),
                   [](const Pair& x, const Pair& y) { return x.increase < y.increase; });
  return mutual;
}

Partition Agglomeration::run(int k, double caution) {
  Clusters clusters(similarity_, first_clusters(k));
  clusters.cost = measure(clusters.sets());
  while (!recorder_.must_stop() && clusters.size() > 1) {
    std::vector<double> sensitivities;
    for (int task = 0; task < similarity_.n(); ++task) sensitivities.push_back(sensitivity(task));
    clusters.refit(sensitivities);
    std::vector<Pair> pairs = mutual_best(clusters, caution);
    if (pairs.empty()) break;
    const int wanted = clusters.size() - k;
    pairs.resize(std::min(pairs.size(), at(std::max(1, (wanted + 1) / 2))));
    std::vector<TaskSet> unknown;
    for (const Pair& pair : pairs)
      if (!pair.is_measured) unknown.push_back(united(clusters[pair.a], clusters[pair.b]));
    if (!unknown.empty()) {
      (void)measure(unknown);
      continue;
    }
    if (wanted <= 0 && pairs.front().increase >= 0) break;
    for (const Pair& pair : pairs) {
      clusters.merge(pair.a, pair.b);
      clusters.cost[at(pair.a)] = known_.at(clusters.content_of(pair.a)).cost;
      clusters.cost[at(pair.b)] = infinite;
    }
    clusters.compact();
    std::erase(clusters.cost, infinite);
  }
  return labelled(clusters.sets(), k);
}

/// Where more than k clusters are left, the small ones join the most similar of the k largest.
Partition Agglomeration::labelled(std::vector<TaskSet> clusters, int k) const {
  std::stable_sort(clusters.begin(), clusters.end(),
                   [](const TaskSet& a, const TaskSet& b) { return a.size() > b.size(); });
  Partition partition(Assignment(at(similarity_.n())), k);
  const auto similarity = [&](const TaskSet& a, const TaskSet& b) {
    double sum = 0;
    for (const int i : a)
      for (const int j : b) sum += similarity_(i, j);
    return sum / static_cast<double>(b.size());
  };
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    int label = static_cast<int>(c);
    if (label >= k) {
      std::vector<double> to;
      for (int other = 0; other < k; ++other)
        to.push_back(similarity(clusters[c], clusters[at(other)]));
      label = static_cast<int>(std::max_element(to.begin(), to.end()) - to.begin());
    }
    for (const int task : clusters[c]) partition.move(task, label);
  }
  return rules_.repaired(partition, EmptyClusters::allow);
}

}  // namespace d2c::cluster
