#include "weights/agglomeration.hpp"

#include <algorithm>
#include <limits>

#include "loss/evaluate.hpp"
#include "partition/sets.hpp"
#include "weights/average_linkage.hpp"
#include "weights/once.hpp"

namespace d2c::cluster {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();

/// Of a set of tasks: that of a union of disjoint sets is the sum. Finalizer of splitmix64.
std::uint64_t content(const TaskSet& set) {
  std::uint64_t sum = 0;
  for (const TaskId task : set) {
    std::uint64_t z = (task.index() + 1) * 0x9e3779b97f4a7c15;
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
  Clusters(const SimilarityMatrix& similarity, IdVector<ClusterId, TaskSet> sets)
      : similarity_(similarity), sets_(std::move(sets)), to_(similarity.n(), size()) {
    for (const TaskSet& set : sets_) contents_.push_back(content(set));
    for (const TaskId task : to_.rows())
      for (const ClusterId c : to_.columns())
        for (const TaskId other : sets_[c]) to_(task, c) += similarity(task, other);
  }

  [[nodiscard]] int size() const { return sets_.n(); }
  [[nodiscard]] IdRange<ClusterId> ids() const { return sets_.ids(); }
  [[nodiscard]] const TaskSet& operator[](ClusterId c) const { return sets_[c]; }
  [[nodiscard]] const std::vector<TaskSet>& sets() const { return sets_; }
  [[nodiscard]] std::uint64_t content_of(ClusterId c) const { return contents_[c]; }

  /// Cluster b becomes part of a. Call compact() before anything else.
  void merge(ClusterId a, ClusterId b) {
    sets_[a] = united(sets_[a], sets_[b]);
    contents_[a] += contents_[b];
    for (const TaskId task : to_.rows()) to_(task, a) += to_(task, b);
    sets_[b].clear();
  }

  void compact() {
    IdVector<ClusterId, ClusterId> kept;
    for (const ClusterId c : ids())
      if (!sets_[c].empty()) kept.push_back(c);
    for (const ClusterId c : kept.ids()) {
      if (c != kept[c]) sets_[c] = std::move(sets_[kept[c]]);
      contents_[c] = contents_[kept[c]];
      cost[c] = cost[kept[c]];
    }
    // In place: this is the largest thing that the agglomeration holds.
    auto next = to_.values.begin();
    for (const TaskId task : to_.rows())
      for (const ClusterId c : kept) *next++ = to_(task, c);
    to_.values.erase(next, to_.values.end());
    to_.n_columns = kept.n();
    sets_.resize(kept.size());
    contents_.resize(kept.size());
    cost.resize(kept.size());
  }

  /// Sums over members i of a and j of b of G[i,j], and of h_i G[i,j]; of h_i; of h_i G[i,i].
  void refit(const IdVector<TaskId, double>& sensitivity) {
    total_ = weighted_ = {size(), size()};
    weight_ = diagonal_ = IdVector<ClusterId, double>(size());
    for (const ClusterId a : ids())
      for (const TaskId task : sets_[a]) {
        const double h = sensitivity[task];
        weight_[a] += h;
        diagonal_[a] += h * similarity_(task, task);
        for (const ClusterId b : ids()) {
          total_(a, b) += to_(task, b);
          weighted_(a, b) += h * to_(task, b);
        }
      }
  }

  /// Cost of a cluster by the model.
  [[nodiscard]] double modelled(ClusterId a) const {
    const auto n = static_cast<double>(sets_[a].size());
    return diagonal_[a] - 2 * weighted_(a, a) / n + weight_[a] * total_(a, a) / (n * n);
  }
  /// The same for the union of two.
  [[nodiscard]] double modelled(ClusterId a, ClusterId b) const {
    const auto n = static_cast<double>(sets_[a].size() + sets_[b].size());
    const double weighted = weighted_(a, a) + weighted_(a, b) + weighted_(b, a) + weighted_(b, b);
    const double total = total_(a, a) + 2 * total_(a, b) + total_(b, b);
    return diagonal_[a] + diagonal_[b] - 2 * weighted / n +
           (weight_[a] + weight_[b]) * total / (n * n);
  }

  IdVector<ClusterId, double> cost;  ///< measured, of every cluster

 private:
  const SimilarityMatrix& similarity_;
  IdVector<ClusterId, TaskSet> sets_;
  IdVector<ClusterId, std::uint64_t> contents_;
  IdMatrix<TaskId, ClusterId> to_;  // sum of similarities to the members
  IdMatrix<ClusterId, ClusterId> total_;
  IdMatrix<ClusterId, ClusterId> weighted_;
  IdVector<ClusterId, double> weight_;
  IdVector<ClusterId, double> diagonal_;
};

Agglomeration::Agglomeration(const Problem& problem, const Rules& rules, Recorder& recorder,
                             const SimilarityMatrix& similarity, IdVector<TaskId, double> own,
                             int most_first)
    : problem_(problem),
      rules_(rules),
      recorder_(recorder),
      similarity_(similarity),
      own_(std::move(own)),
      first_(first_clusters(most_first)),
      moments_(own_.n()) {}

/// Clusters that the rules do not allow fall apart into their blocks.
std::vector<TaskSet> Agglomeration::first_clusters(int most) const {
  std::vector<TaskSet> first;
  if (rules_.n_blocks() <= most) {
    for (const BlockId b : rules_.blocks()) first.push_back(rules_.block(b));
    return first;
  }
  Partition partition =
      found_once(problem_, most, [&] { return average_linkage(similarity_, most); });
  for (const BlockId b : rules_.blocks())
    for (const TaskId task : rules_.block(b))
      partition.move(task, partition[rules_.block(b).front()]);
  for (const TaskSet& set : partition.clusters()) {
    if (rules_.allows_part(set)) {
      if (!set.empty()) first.push_back(set);
      continue;
    }
    for (const BlockId b : rules_.blocks_in(set)) first.push_back(rules_.block(b));
  }
  return first;
}

double Agglomeration::excess(TaskId task, double loss) const {
  return problem_.objective.excess(task, loss, own_[task]);
}

void Agglomeration::learn(const TaskSet& set, std::span<const double> losses) {
  const auto n = static_cast<double>(set.size());
  std::vector<double> mean;
  double within = 0;
  for (const TaskId i : set) {
    double sum = 0;
    for (const TaskId j : set) sum += similarity_(i, j);
    mean.push_back(sum / n);
    within += sum / (n * n);
  }
  for (std::size_t i = 0; i < set.size(); ++i) {
    const double x = std::max(0.0, similarity_(set[i], set[i]) - 2 * mean[i] + within);
    const double y = std::max(0.0, excess(set[i], losses[i]));
    moments_[set[i]].add(x, y);
    moments_of_all_.add(x, y);
  }
}

/// Least squares, drawn towards the sensitivity of all.
double Agglomeration::sensitivity(TaskId task) const {
  constexpr double prior = 0.1;
  const double common = moments_of_all_.xx > 0 ? moments_of_all_.xy / moments_of_all_.xx : 1;
  return (moments_[task].xy + prior * common) / (moments_[task].xx + prior);
}

std::vector<double> Agglomeration::measure(const std::vector<TaskSet>& sets) {
  const auto losses = losses_under(problem_.oracle, sets, sets);
  std::vector<double> costs;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    double cost = 0;
    for (std::size_t i = 0; i < sets[s].size(); ++i) cost += excess(sets[s][i], losses[s][i]);
    costs.push_back(cost);
    if (known_.try_emplace(content(sets[s]), Known{sets[s], cost}).second)
      learn(sets[s], losses[s]);
  }
  return costs;
}

/// Pairs that are each other's best, best first.
std::vector<Agglomeration::Pair> Agglomeration::mutual_best(const Clusters& clusters,
                                                            double caution) const {
  // A cluster that was chosen for its low cost owes some of it to luck, that a union will not have.
  IdVector<ClusterId, double> base;
  for (const ClusterId c : clusters.ids())
    base.push_back((1 - caution) * clusters.cost[c] + caution * clusters.modelled(c));
  IdVector<ClusterId, Pair> best(clusters.size(),
                                 Pair{infinite, ClusterId::none(), ClusterId::none(), false});
  for (const ClusterId a : clusters.ids())
    for (const ClusterId b : clusters.ids()) {
      if (!(a < b)) continue;
      if (!rules_.unconstrained() && !rules_.allows_part(united(clusters[a], clusters[b])))
        continue;
      Pair pair{clusters.modelled(a, b) - base[a] - base[b], a, b, false};
      const auto found = known_.find(clusters.content_of(a) + clusters.content_of(b));
      if (found != known_.end() && found->second.set == united(clusters[a], clusters[b]))
        pair = {found->second.cost - clusters.cost[a] - clusters.cost[b], a, b, true};
      if (pair.increase < best[a].increase) best[a] = pair;
      if (pair.increase < best[b].increase) best[b] = pair;
    }
  std::vector<Pair> mutual;
  for (const ClusterId a : clusters.ids()) {
    const Pair& pair = best[a];
    if (pair.a == a && best[pair.b].a == a) mutual.push_back(pair);
  }
  std::stable_sort(mutual.begin(), mutual.end(),
                   [](const Pair& x, const Pair& y) { return x.increase < y.increase; });
  return mutual;
}

Partition Agglomeration::run(int k, double caution) {
  Clusters clusters(similarity_, first_);
  clusters.cost = measure(clusters.sets());
  while (!recorder_.must_stop() && clusters.size() > 1) {
    IdVector<TaskId, double> sensitivities;
    for (const TaskId task : similarity_.tasks()) sensitivities.push_back(sensitivity(task));
    clusters.refit(sensitivities);
    std::vector<Pair> pairs = mutual_best(clusters, caution);
    if (pairs.empty()) break;
    const int wanted = clusters.size() - k;
    pairs.resize(std::min(pairs.size(), static_cast<std::size_t>(std::max(1, (wanted + 1) / 2))));
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
      clusters.cost[pair.a] = known_.at(clusters.content_of(pair.a)).cost;
    }
    clusters.compact();
  }
  return labelled(clusters.sets(), k);
}

/// Where more than k clusters are left, the small ones join the most similar of the k largest.
Partition Agglomeration::labelled(std::vector<TaskSet> clusters, int k) const {
  std::stable_sort(clusters.begin(), clusters.end(),
                   [](const TaskSet& a, const TaskSet& b) { return a.size() > b.size(); });
  Partition partition(Assignment(similarity_.n()), k);
  const IdRange<ClusterId> labels = partition.cluster_ids();
  const auto similarity = [&](const TaskSet& a, const TaskSet& b) {
    double sum = 0;
    for (const TaskId i : a)
      for (const TaskId j : b) sum += similarity_(i, j);
    return sum / static_cast<double>(b.size());
  };
  for (std::size_t c = 0; c < clusters.size(); ++c) {
    ClusterId label(c);
    if (label.value() >= k)
      label = *std::ranges::max_element(labels, {}, [&](ClusterId other) {
        return similarity(clusters[c], clusters[other.index()]);
      });
    for (const TaskId task : clusters[c]) partition.move(task, label);
  }
  return rules_.repaired(partition, EmptyClusters::allow);
}

}  // namespace d2c::cluster
