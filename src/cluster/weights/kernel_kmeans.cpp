#include "weights/kernel_kmeans.hpp"

#include <algorithm>
#include <limits>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

double squared_distance(const SimilarityMatrix& gram, TaskId a, TaskId b) {
  return std::max(0.0, gram(a, a) + gram(b, b) - 2 * gram(a, b));
}

/// One run of kernel k-means.
class KernelKmeans {
 public:
  KernelKmeans(const SimilarityMatrix& gram, int k, CounterRng& rng)
      : gram_(gram), rng_(rng), partition_(Assignment(gram.n()), k) {}

  double run() {
    constexpr int max_iterations = 100;
    start();
    for (int iteration = 0; iteration < max_iterations; ++iteration) {
      distances();
      if (!reassign()) break;
    }
    distances();
    double total = 0;
    for (const TaskId i : gram_.tasks()) total += distance_(i, partition_[i]);
    return total;
  }

  [[nodiscard]] const Partition& partition() const { return partition_; }

 private:
  /// k-means++: each centre is drawn with probability proportional to the squared distance from
  /// those before.
  void start() {
    IdVector<TaskId, double> nearest(gram_.n(), std::numeric_limits<double>::infinity());
    for (const ClusterId k : partition_.cluster_ids()) {
      const TaskId centre =
          k == 0 ? TaskId(rng_.below(static_cast<std::uint64_t>(gram_.n()))) : drawn(nearest, rng_);
      for (const TaskId i : gram_.tasks()) {
        const double distance = i == centre ? 0 : squared_distance(gram_, i, centre);
        if (distance < nearest[i] || i == centre) {
          nearest[i] = distance;
          partition_.move(i, k);
        }
      }
    }
    fill_empty([&](TaskId i) { return nearest[i]; });
  }

  /// Squared distance of every item from every centroid:
  ///     G[i,i] - 2 mean_{j in k} G[i,j] + mean_{j,l in k} G[j,l]
  void distances() {
    const IdVector<ClusterId, int> size = partition_.sizes();
    IdMatrix<TaskId, ClusterId> mean(gram_.n(), partition_.k());
    IdVector<ClusterId, double> within(partition_.k());
    for (const TaskId i : gram_.tasks()) {
      for (const TaskId j : gram_.tasks()) mean(i, partition_[j]) += gram_(i, j);
      within[partition_[i]] += mean(i, partition_[i]);
    }
    distance_ = {gram_.n(), partition_.k()};
    for (const TaskId i : gram_.tasks())
      for (const ClusterId k : partition_.cluster_ids()) {
        const double n = size[k];
        distance_(i, k) = gram_(i, i) - 2 * mean(i, k) / n + within[k] / (n * n);
      }
  }

  bool reassign() {
    bool moved = false;
    for (const TaskId i : gram_.tasks()) {
      ClusterId best = partition_[i];
      for (const ClusterId k : partition_.cluster_ids())
        if (distance_(i, k) < distance_(i, best)) best = k;
      moved = moved || best != partition_[i];
      partition_.move(i, best);
    }
    fill_empty([&](TaskId i) { return distance_(i, partition_[i]); });
    return moved;
  }

  /// Every empty cluster gets the item that is farthest from its own centroid.
  template <typename Distance>
  void fill_empty(Distance distance) {
    IdVector<ClusterId, int> size = partition_.sizes();
    for (const ClusterId k : partition_.cluster_ids()) {
      if (size[k] > 0) continue;
      TaskId farthest = TaskId::none();
      for (const TaskId i : gram_.tasks())
        if (size[partition_[i]] > 1 &&
            (farthest == TaskId::none() || distance(i) > distance(farthest)))
          farthest = i;
      --size[partition_[farthest]];
      ++size[k];
      partition_.move(farthest, k);
    }
  }

  const SimilarityMatrix& gram_;
  CounterRng& rng_;
  Partition partition_;
  IdMatrix<TaskId, ClusterId> distance_;
};

}  // namespace

Partition kernel_kmeans(const SimilarityMatrix& gram, int k, CounterRng& rng) {
  constexpr int starts = 10;
  D2C_EXPECTS(k >= 1 && k <= gram.n());
  Partition best;
  double lowest = std::numeric_limits<double>::infinity();
  for (int start = 0; start < starts; ++start) {
    KernelKmeans run(gram, k, rng);
    const double total = run.run();
    if (start == 0 || total < lowest) {
      lowest = total;
      best = run.partition();
    }
  }
  return best;
}

}  // namespace d2c::cluster
