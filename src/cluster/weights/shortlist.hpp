#pragma once

#include <utility>
#include <vector>

#include "partition/rules.hpp"

namespace d2c::cluster {

/// Where tasks may belong by the weights of their adapters alone, so that a search need not measure
/// every task under every cluster. With similarities of tasks as inner products, no loss is looked
/// at.
class Shortlist {
 public:
  using Entries = std::vector<std::pair<BlockId, ClusterId>>;

  /// @param similarity  must outlive this object
  explicit Shortlist(const SimilarityMatrix& similarity) : similarity_(&similarity) {}

  /// Clusters that each block may move to: the nearest ones by their mean, more where several are
  /// about as near as its own; the most promising move first. Their number per block has a bound
  /// that does not depend on the number of clusters. Costs n_tasks^2 operations.
  [[nodiscard]] Entries entries(const Rules& rules, const Partition& partition) const;

  /// What a union of two clusters adds to the squared distances of all tasks from the means of
  /// their clusters; infinite where one of them is empty.
  [[nodiscard]] IdMatrix<ClusterId, ClusterId> unions(const Partition& partition) const;

 private:
  /// Inner products of tasks with the means of clusters, and of these with themselves.
  struct Means {
    IdMatrix<TaskId, ClusterId> with;
    IdVector<ClusterId, double> squared;
  };
  [[nodiscard]] Means means(const Partition& partition) const;

  const SimilarityMatrix* similarity_;
};

}  // namespace d2c::cluster
