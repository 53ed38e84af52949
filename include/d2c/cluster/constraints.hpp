#pragma once

#include <utility>
#include <vector>

#include "d2c/core/id.hpp"

namespace d2c::cluster {

/// What every partition must obey. Sizes hold for the clusters that are not empty.
struct Constraints {
  int min_size = 1;
  int max_size = 0;                                      ///< 0 = no limit
  std::vector<std::pair<TaskId, TaskId>> together = {};  ///< tasks that share a cluster
  std::vector<std::pair<TaskId, TaskId>> apart = {};     ///< tasks that never share a cluster

  [[nodiscard]] bool none() const {
    return min_size <= 1 && max_size == 0 && together.empty() && apart.empty();
  }
};

/// Looks for a partition into at most k clusters that obeys them, without any loss.
/// @throws UsageError if they contradict each other or no partition was found
void check_constraints(const Constraints& constraints, int n_tasks, int k);

}  // namespace d2c::cluster
