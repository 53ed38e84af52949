#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "evaluate.hpp"
#include "local_search.hpp"
#include "methods.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Merges the pair of clusters that raises the measured cost least. Only the nearest neighbours of
/// every cluster, by mean similarity, are measured.
class AgglomerativeLoss {
 public:
  AgglomerativeLoss(const Problem& problem, const SearchOptions& options)
      : problem_(problem),
        options_(options),
        recorder_(problem, options, "agglomerative_loss"),
        rules_(options.constraints, problem.oracle.n_tasks(), options.k),
        loss_(problem.oracle.own_losses()) {}

  SearchResult run() {
    recorder_.begin_restart();
    between_blocks();
    offer_average_linkage();
    std::optional<StopReason> stop;
    while (!(stop = recorder_.must_stop()) && n_clusters_ > 1) {
      measure_candidates();
      const auto best = cheapest();
      if (best == costs_.end() || (n_clusters_ <= options_.k && best->second.increase >= 0)) break;
      merge(best->first.first, best->first.second, best->second.losses);
      if (n_clusters_ <= options_.k) offer(labels());
    }
    if (!stop && n_clusters_ > options_.k) offer(labels());
    const Partition best = recorder_.best();
    recorder_.iteration(best, known_matrix(problem_.oracle, best), recorder_.best_score(), 0);
    recorder_.end_restart(stop.value_or(StopReason::complete));
    return recorder_.finish();
  }

 private:
  static constexpr std::size_t n_neighbours = 3;

  struct Cost {
    double increase;
    std::vector<double> losses;  // of the members of both, ascending
  };
  using Costs = std::map<std::pair<int, int>, Cost>;

  /// Similarity of blocks: that of the adapters, or by the losses of tasks under each other's
  /// adapters where there is none.
  void between_blocks() {
    const int n = problem_.oracle.n_tasks();
    const Similarity tasks =
        problem_.similarity ? provided(problem_.similarity, n) : Similarity{n, transfer()};
    const int blocks = rules_.n_blocks();
    similarity_ = {blocks, std::vector<double>(at(blocks) * at(blocks))};
    for (int a = 0; a < blocks; ++a)
      for (int b = 0; b < blocks; ++b) {
        double sum = 0;
        for (const int i : rules_.block(a))
          for (const int j : rules_.block(b)) sum += tasks(i, j);
        value(a, b) = sum / static_cast<double>(rules_.block(a).size() * rules_.block(b).size());
      }
    for (int b = 0; b < blocks; ++b) members_.push_back(rules_.block(b));
    neighbours_.resize(at(blocks));
    n_clusters_ = blocks;
    for (int b = 0; b < blocks; ++b) find_neighbours(b);
    start_with_blocks();
  }

  /// Blocks of several tasks have a loss of their own.
  void start_with_blocks() {
    std::vector<Query> queries;
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (const int task : rules_.block(b)) queries.push_back({b, task});
    const std::vector<double> losses = problem_.oracle.losses(members_, queries);
    for (std::size_t i = 0; i < queries.size(); ++i) loss_[at(queries[i].task)] = losses[i];
  }

  std::vector<double> transfer() {
    const int n = problem_.oracle.n_tasks();
    Assignment each(at(n));
    std::iota(each.begin(), each.end(), 0);
    const LossMatrix loss = loss_matrix(problem_.oracle, Partition(std::move(each), n));
    std::vector<double> similarity(loss.values.size());
    for (int a = 0; a < n; ++a)
      for (int b = 0; b < n; ++b)
        similarity[at(a) * at(n) + at(b)] = -(cost(a, loss(a, b)) - cost(a, loss(a, a)) +
                                              cost(b, loss(b, a)) - cost(b, loss(b, b)));
    return similarity;
  }

  [[nodiscard]] double cost(int task, double loss) const {
    return problem_.objective.weight(task) * problem_.objective.cost(task, loss);
  }

  double& value(int a, int b) { return similarity_.values[at(a) * at(similarity_.n) + at(b)]; }

  void find_neighbours(int a) {
    std::vector<int>& nearest = neighbours_[at(a)];
    nearest.clear();
    for (int b = 0; b < similarity_.n; ++b)
      if (b != a && !members_[at(b)].empty() && rules_.allows_part(united(a, b)))
        nearest.push_back(b);
    const auto kept = std::min(n_neighbours, nearest.size());
    std::partial_sort(nearest.begin(), nearest.begin() + static_cast<std::ptrdiff_t>(kept),
                      nearest.end(), [&](int x, int y) {
                        return std::pair(-similarity_(a, x), x) < std::pair(-similarity_(a, y), y);
                      });
    nearest.resize(kept);
  }

  [[nodiscard]] TaskSet united(int a, int b) const {
    TaskSet result;
    std::set_union(members_[at(a)].begin(), members_[at(a)].end(), members_[at(b)].begin(),
                   members_[at(b)].end(), std::back_inserter(result));
    return result;
  }

  void measure_candidates() {
    std::vector<std::pair<int, int>> pairs;
    for (int a = 0; a < similarity_.n; ++a)
      for (const int b : neighbours_[at(a)]) {
        const std::pair<int, int> pair = std::minmax(a, b);
        if (costs_.try_emplace(pair).second) pairs.push_back(pair);
      }
    std::vector<TaskSet> sets;
    std::vector<Query> queries;
    for (const auto& [a, b] : pairs) {
      sets.push_back(united(a, b));
      for (const int task : sets.back())
        queries.push_back({static_cast<int>(sets.size()) - 1, task});
    }
    const std::vector<double> losses = problem_.oracle.losses(sets, queries);
    auto from = losses.begin();
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const auto to = from + static_cast<std::ptrdiff_t>(sets[i].size());
      Cost& entry = costs_[pairs[i]];
      entry.losses.assign(from, to);
      entry.increase = 0;
      for (std::size_t j = 0; j < sets[i].size(); ++j)
        entry.increase +=
            cost(sets[i][j], entry.losses[j]) - cost(sets[i][j], loss_[at(sets[i][j])]);
      from = to;
    }
  }

  [[nodiscard]] Costs::const_iterator cheapest() const {
    return std::min_element(costs_.begin(), costs_.end(), [](const auto& x, const auto& y) {
      return x.second.increase < y.second.increase;
    });
  }

  void merge(int a, int b, std::vector<double> losses) {
    const double n_a = static_cast<double>(members_[at(a)].size());
    const double n_b = static_cast<double>(members_[at(b)].size());
    members_[at(a)] = united(a, b);
    members_[at(b)].clear();
    neighbours_[at(b)].clear();
    --n_clusters_;
    for (std::size_t i = 0; i < losses.size(); ++i) loss_[at(members_[at(a)][i])] = losses[i];
    for (int c = 0; c < similarity_.n; ++c) {
      if (c == a || members_[at(c)].empty()) continue;
      value(a, c) = value(c, a) = (n_a * value(a, c) + n_b * value(b, c)) / (n_a + n_b);
    }
    std::erase_if(costs_, [a, b](const auto& entry) {
      const auto [x, y] = entry.first;
      return x == a || x == b || y == a || y == b;
    });
    for (int c = 0; c < similarity_.n; ++c) {
      if (members_[at(c)].empty()) continue;
      const std::vector<int>& near = neighbours_[at(c)];
      if (c == a || std::find(near.begin(), near.end(), a) != near.end() ||
          std::find(near.begin(), near.end(), b) != near.end())
        find_neighbours(c);
    }
  }

  /// The clusters as a partition; where there are more than k, the small ones join the nearest of
  /// the k largest.
  [[nodiscard]] Partition labels() {
    std::vector<int> clusters;
    for (int c = 0; c < similarity_.n; ++c)
      if (!members_[at(c)].empty()) clusters.push_back(c);
    std::stable_sort(clusters.begin(), clusters.end(), [this](int x, int y) {
      return members_[at(x)].size() > members_[at(y)].size();
    });
    Partition partition(Assignment(at(problem_.oracle.n_tasks())), options_.k);
    for (std::size_t i = 0; i < clusters.size(); ++i) {
      int label = static_cast<int>(i);
      if (label >= options_.k) {
        label = 0;
        for (int k = 1; k < options_.k; ++k)
          if (value(clusters[i], clusters[at(k)]) > value(clusters[i], clusters[at(label)]))
            label = k;
      }
      for (const int task : members_[at(clusters[i])]) partition.move(task, label);
    }
    return partition;
  }

  void offer(const Partition& partition) {
    const Partition allowed = rules_.repaired(partition, EmptyClusters::allow);
    recorder_.offer(allowed, problem_.objective.score(member_losses(problem_.oracle, allowed)));
  }

  /// A first result, in case the search has to stop early.
  void offer_average_linkage() {
    const int k = std::min(options_.k, similarity_.n);
    const Partition of_blocks = average_linkage(similarity_, k);
    Partition partition(Assignment(at(problem_.oracle.n_tasks())), options_.k);
    for (int b = 0; b < rules_.n_blocks(); ++b)
      for (const int task : rules_.block(b)) partition.move(task, of_blocks[b]);
    offer(partition);
  }

  const Problem& problem_;
  const SearchOptions& options_;
  Recorder recorder_;
  Rules rules_;
  std::vector<double> loss_;      // of every task under its cluster
  Similarity similarity_;         // of clusters, by their lowest block
  std::vector<TaskSet> members_;  // empty = merged into another
  std::vector<std::vector<int>> neighbours_;
  Costs costs_;
  int n_clusters_ = 0;
};

}  // namespace

SearchResult agglomerative_loss_search(const Problem& problem, const SearchOptions& options) {
  return AgglomerativeLoss(problem, options).run();
}

}  // namespace d2c::cluster
