#include "weights/average_linkage.hpp"

#include <algorithm>
#include <utility>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

/// Keeps the nearest neighbour of every cluster. A cluster goes by its lowest task.
class AverageLinkage {
 public:
  explicit AverageLinkage(const SimilarityMatrix& similarity)
      : similarity_(similarity.n(), similarity.n()),
        size_(similarity.n(), 1),
        nearest_(similarity.n()) {
    for (const TaskId a : similarity.tasks())
      for (const TaskId b : similarity.tasks()) similarity_(a, b) = similarity(a, b);
    for (const TaskId task : similarity.tasks()) cluster_.push_back(task);
    for (const TaskId task : similarity.tasks()) find_nearest(task);
  }

  Partition run(int k) {
    for (int left = size_.n(); left > k; --left) merge_best();
    IdVector<TaskId, ClusterId> label(size_.n(), ClusterId::none());
    ClusterId next;
    Assignment assignment;
    for (const TaskId lowest : cluster_) {
      if (label[lowest] == ClusterId::none()) label[lowest] = next++;
      assignment.push_back(label[lowest]);
    }
    return {std::move(assignment), k};
  }

 private:
  void find_nearest(TaskId a) {
    nearest_[a] = TaskId::none();
    for (const TaskId b : size_.ids())
      if (b != a && size_[b] > 0 &&
          (nearest_[a] == TaskId::none() || similarity_(a, b) > similarity_(a, nearest_[a])))
        nearest_[a] = b;
  }

  void merge_best() {
    TaskId a = TaskId::none();
    for (const TaskId i : size_.ids())
      if (size_[i] > 0 &&
          (a == TaskId::none() || similarity_(i, nearest_[i]) > similarity_(a, nearest_[a])))
        a = i;
    TaskId b = nearest_[a];
    if (b < a) std::swap(a, b);
    const double n_a = size_[a];
    const double n_b = size_[b];
    for (const TaskId c : size_.ids()) {
      if (size_[c] == 0 || c == a || c == b) continue;
      similarity_(a, c) = similarity_(c, a) =
          (n_a * similarity_(a, c) + n_b * similarity_(b, c)) / (n_a + n_b);
    }
    size_[a] += size_[b];
    size_[b] = 0;
    std::replace(cluster_.begin(), cluster_.end(), b, a);
    for (const TaskId c : size_.ids()) {
      if (size_[c] == 0) continue;
      if (c == a || nearest_[c] == a || nearest_[c] == b)
        find_nearest(c);
      else if (similarity_(c, a) > similarity_(c, nearest_[c]))
        nearest_[c] = a;
    }
  }

  IdMatrix<TaskId, TaskId> similarity_;
  IdVector<TaskId, int> size_;  // 0 = merged into another
  IdVector<TaskId, TaskId> nearest_;
  IdVector<TaskId, TaskId> cluster_;  // of every task
};

}  // namespace

Partition average_linkage(const SimilarityMatrix& similarity, int k) {
  D2C_EXPECTS(k >= 1 && k <= similarity.n());
  return AverageLinkage(similarity).run(k);
}

}  // namespace d2c::cluster
