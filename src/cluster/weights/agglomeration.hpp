#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "partition/rules.hpp"
#include "search/recorder.hpp"

namespace d2c::cluster {

/// Merges clusters by the measured increase of the total cost, as Ward does by squared distances,
/// but measures only the pairs that a model takes for each other's best:
///
///     cost(t, S) = cost(t, {t}) + h_t |x_t - mean of x over S|^2,   <x_i, x_j> = similarity
///
/// The sensitivities h_t are fitted to everything measured. Pairs that are measured and still each
/// other's best merge, the better half of them in one round.
/// Source: Ward, "Hierarchical grouping to optimize an objective function", JASA 1963; reciprocal
/// nearest neighbours: Murtagh, "A survey of recent advances in hierarchical clustering", 1983.
class Agglomeration {
 public:
  /// @param similarity  of tasks; must outlive this object
  /// @param own         loss of every task under its own adapter
  /// @param most_first  clusters to begin with, about: where there are more blocks, the most
  ///                    similar ones share a cluster
  Agglomeration(const Problem& problem, const Rules& rules, Recorder& recorder,
                const SimilarityMatrix& similarity, IdVector<TaskId, double> own, int most_first);

  /// Merges blocks until at most k clusters are left, and on while that lowers the cost.
  /// @param caution  from 0 to 1: more pairs are measured before one is merged
  [[nodiscard]] Partition run(int k, double caution);

 private:
  struct Known {
    TaskSet set;
    double cost;
  };
  struct Pair {
    double increase;
    ClusterId a;
    ClusterId b;
    bool is_measured;
  };
  class Clusters;

  [[nodiscard]] std::vector<TaskSet> first_clusters(int most) const;
  [[nodiscard]] double excess(TaskId task, double loss) const;
  /// Total cost of the members of each set above their own adapters.
  [[nodiscard]] std::vector<double> measure(const std::vector<TaskSet>& sets);
  void learn(const TaskSet& set, std::span<const double> losses);
  [[nodiscard]] double sensitivity(TaskId task) const;
  [[nodiscard]] std::vector<Pair> mutual_best(const Clusters& clusters, double caution) const;
  [[nodiscard]] Partition labelled(std::vector<TaskSet> clusters, int k) const;

  const Problem& problem_;
  const Rules& rules_;
  Recorder& recorder_;
  const SimilarityMatrix& similarity_;
  IdVector<TaskId, double> own_;
  std::vector<TaskSet> first_;
  std::unordered_map<std::uint64_t, Known> known_;  // by content
  /// Sums of squared distance x cost, and of squared distance^2.
  struct Moments {
    double xy = 0;
    double xx = 0;
    void add(double x, double y) {
      xy += x * y;
      xx += x * x;
    }
  };
  IdVector<TaskId, Moments> moments_;
  Moments moments_of_all_;
};

}  // namespace d2c::cluster
