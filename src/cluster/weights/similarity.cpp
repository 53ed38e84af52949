#include "weights/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

double squared_distance(const SimilarityMatrix& gram, int a, int b) {
  return std::max(0.0, gram(a, a) + gram(b, b) - 2 * gram(a, b));
}

/// One run of kernel k-means.
class KernelKmeans {
 public:
  KernelKmeans(const SimilarityMatrix& gram, int k, CounterRng& rng)
      : gram_(gram), k_(k), rng_(rng), partition_(Assignment(at(gram.n())), k) {}

  double run() {
    constexpr int max_iterations = 100;
    start();
    for (int iteration = 0; iteration < max_iterations; ++iteration) {
      distances();
      if (!reassign()) break;
    }
    distances();
    double total = 0;
    for (int i = 0; i < gram_.n(); ++i) total += distance_(i, partition_[i]);
    return total;
  }

  [[nodiscard]] const Partition& partition() const { return partition_; }

 private:
  /// k-means++: each centre is drawn with probability proportional to the squared distance from
  /// those before.
  void start() {
    std::vector<double> nearest(at(gram_.n()), std::numeric_limits<double>::infinity());
    for (int k = 0; k < k_; ++k) {
      const int centre = k == 0
                             ? static_cast<int>(rng_.below(static_cast<std::uint64_t>(gram_.n())))
                             : drawn(nearest);
      for (int i = 0; i < gram_.n(); ++i) {
        const double distance = i == centre ? 0 : squared_distance(gram_, i, centre);
        if (distance < nearest[at(i)] || i == centre) {
          nearest[at(i)] = distance;
          partition_.move(i, k);
        }
      }
    }
    fill_empty([&](int i) { return nearest[at(i)]; });
  }

  int drawn(const std::vector<double>& weights) {
    double left = rng_.uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
    for (int i = 0; i < gram_.n(); ++i) {
      left -= weights[at(i)];
      if (left < 0) return i;
    }
    return static_cast<int>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  }

  /// Squared distance of every item from every centroid:
  ///     G[i,i] - 2 mean_{j in k} G[i,j] + mean_{j,l in k} G[j,l]
  void distances() {
    const std::vector<int> size = partition_.sizes();
    LossMatrix mean(gram_.n(), k_);
    std::fill(mean.values.begin(), mean.values.end(), 0.0);
    std::vector<double> within(at(k_));
    for (int i = 0; i < gram_.n(); ++i) {
      for (int j = 0; j < gram_.n(); ++j) mean(i, partition_[j]) += gram_(i, j);
      within[at(partition_[i])] += mean(i, partition_[i]);
    }
    distance_ = LossMatrix(gram_.n(), k_);
    for (int i = 0; i < gram_.n(); ++i)
      for (int k = 0; k < k_; ++k) {
        const double n = size[at(k)];
        distance_(i, k) = gram_(i, i) - 2 * mean(i, k) / n + within[at(k)] / (n * n);
      }
  }

  bool reassign() {
    bool moved = false;
    for (int i = 0; i < gram_.n(); ++i) {
      int best = partition_[i];
      for (int k = 0; k < k_; ++k)
        if (distance_(i, k) < distance_(i, best)) best = k;
      moved = moved || best != partition_[i];
      partition_.move(i, best);
    }
    fill_empty([&](int i) { return distance_(i, partition_[i]); });
    return moved;
  }

  /// Every empty cluster gets the item that is farthest from its own centroid.
  template <typename Distance>
  void fill_empty(Distance distance) {
    std::vector<int> size = partition_.sizes();
    for (int k = 0; k < k_; ++k) {
      if (size[at(k)] > 0) continue;
      int farthest = -1;
      for (int i = 0; i < gram_.n(); ++i)
        if (size[at(partition_[i])] > 1 && (farthest < 0 || distance(i) > distance(farthest)))
          farthest = i;
      --size[at(partition_[farthest])];
      ++size[at(k)];
      partition_.move(farthest, k);
    }
  }

  const SimilarityMatrix& gram_;
  int k_;
  CounterRng& rng_;
  Partition partition_;
  LossMatrix distance_;
};

/// Average linkage with the nearest neighbour of every cluster kept.
class AverageLinkage {
 public:
  explicit AverageLinkage(SymmetricMatrix similarity)
      : similarity_(std::move(similarity)),
        size_(at(similarity_.n), 1),
        nearest_(at(similarity_.n), -1),
        cluster_(at(similarity_.n)) {
    std::iota(cluster_.begin(), cluster_.end(), 0);
    for (int i = 0; i < similarity_.n; ++i) find_nearest(i);
  }

  Partition run(int k) {
    for (int left = similarity_.n; left > k; --left) merge_best();
    std::vector<int> label(at(similarity_.n), -1);
    int next = 0;
    Assignment assignment;
    for (const int cluster : cluster_) {
      if (label[at(cluster)] < 0) label[at(cluster)] = next++;
      assignment.push_back(label[at(cluster)]);
    }
    return {std::move(assignment), k};
  }

 private:
  double& value(int a, int b) { return similarity_.values[at(a) * at(similarity_.n) + at(b)]; }

  void find_nearest(int a) {
    nearest_[at(a)] = -1;
    for (int b = 0; b < similarity_.n; ++b)
      if (b != a && size_[at(b)] > 0 &&
          (nearest_[at(a)] < 0 || similarity_(a, b) > similarity_(a, nearest_[at(a)])))
        nearest_[at(a)] = b;
  }

  void merge_best() {
    int a = -1;
    for (int i = 0; i < similarity_.n; ++i)
      if (size_[at(i)] > 0 &&
          (a < 0 || similarity_(i, nearest_[at(i)]) > similarity_(a, nearest_[at(a)])))
        a = i;
    int b = nearest_[at(a)];
    if (b < a) std::swap(a, b);
    const double n_a = size_[at(a)];
    const double n_b = size_[at(b)];
    for (int c = 0; c < similarity_.n; ++c) {
      if (size_[at(c)] == 0 || c == a || c == b) continue;
      value(a, c) = value(c, a) = (n_a * value(a, c) + n_b * value(b, c)) / (n_a + n_b);
    }
    size_[at(a)] += size_[at(b)];
    size_[at(b)] = 0;
    std::replace(cluster_.begin(), cluster_.end(), b, a);
    for (int c = 0; c < similarity_.n; ++c) {
      if (size_[at(c)] == 0) continue;
      if (c == a || nearest_[at(c)] == a || nearest_[at(c)] == b)
        find_nearest(c);
      else if (similarity_(c, a) > similarity_(c, nearest_[at(c)]))
        nearest_[at(c)] = a;
    }
  }

  SymmetricMatrix similarity_;
  std::vector<int> size_;
  std::vector<int> nearest_;
  std::vector<int> cluster_;  // lowest item of the cluster of every item
};

}  // namespace

SymmetricMatrix copy_of(const SimilarityMatrix& similarity) {
  SymmetricMatrix copy{similarity.n(), {}};
  copy.values.reserve(at(copy.n) * at(copy.n));
  for (int i = 0; i < copy.n; ++i)
    for (int j = 0; j < copy.n; ++j) copy.values.push_back(similarity(i, j));
  return copy;
}

Partition kernel_kmeans(const SimilarityMatrix& gram, int k, CounterRng& rng, int starts) {
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

Partition spectral(const SimilarityMatrix& similarity, int k, CounterRng& rng) {
  const int n = similarity.n();
  SymmetricMatrix affinity = copy_of(similarity);
  std::vector<double> root(at(n));
  for (int i = 0; i < n; ++i) {
    double degree = 0;
    for (int j = 0; j < n; ++j) {
      double& value = affinity.values[at(i) * at(n) + at(j)];
      value = i == j ? 0 : std::max(value, 0.0);
      degree += value;
    }
    root[at(i)] = degree > 0 ? 1 / std::sqrt(degree) : 0;
  }
  // (I + D^-1/2 W D^-1/2) / 2 has the same eigenvectors, and no negative eigenvalue.
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      double& value = affinity.values[at(i) * at(n) + at(j)];
      value = (value * root[at(i)] * root[at(j)] + (i == j ? 1 : 0)) / 2;
    }
  std::vector<double> rows = leading_eigenvectors(affinity, k, rng);
  const auto row = [&](int i) { return std::span(rows).subspan(at(i) * at(k), at(k)); };
  for (int i = 0; i < n; ++i) {
    const double norm =
        std::sqrt(std::inner_product(row(i).begin(), row(i).end(), row(i).begin(), 0.0));
    if (norm > 0)
      for (double& value : row(i)) value /= norm;
  }
  std::vector<double> gram = std::move(affinity.values);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j)
      gram[at(i) * at(n) + at(j)] =
          std::inner_product(row(i).begin(), row(i).end(), row(j).begin(), 0.0);
  return kernel_kmeans(std::move(gram), k, rng);
}

SymmetricMatrix reduced_cosine(const SimilarityMatrix& gram, int dimensions, CounterRng& rng) {
  const int n = gram.n();
  SymmetricMatrix reduced = copy_of(gram);
  if (dimensions < n) {
    double trace = 0;
    for (int i = 0; i < n; ++i) trace += gram(i, i);
    if (trace > 0)
      for (double& value : reduced.values) value /= trace;
    const std::vector<double> v = leading_eigenvectors(reduced, dimensions, rng);
    const auto column = [&](int i, int d) { return v[at(i) * at(dimensions) + at(d)]; };
    std::vector<double> eigenvalue(at(dimensions));
    for (int d = 0; d < dimensions; ++d)
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j)
          eigenvalue[at(d)] += column(i, d) * reduced(i, j) * column(j, d);
    for (int i = 0; i < n; ++i)
      for (int j = 0; j < n; ++j) {
        double sum = 0;
        for (int d = 0; d < dimensions; ++d) sum += eigenvalue[at(d)] * column(i, d) * column(j, d);
        reduced.values[at(i) * at(n) + at(j)] = sum;
      }
  }
  std::vector<double> squared;
  for (int i = 0; i < n; ++i) squared.push_back(reduced(i, i));
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) {
      double& value = reduced.values[at(i) * at(n) + at(j)];
      const bool vanishes = !(squared[at(i)] > 0) || !(squared[at(j)] > 0);
      value = vanishes ? 0 : value / std::sqrt(squared[at(i)] * squared[at(j)]);
    }
  return reduced;
}

Partition average_linkage(const SimilarityMatrix& similarity, int k) {
  D2C_EXPECTS(k >= 1 && k <= similarity.n());
  return AverageLinkage(copy_of(similarity)).run(k);
}

}  // namespace d2c::cluster
