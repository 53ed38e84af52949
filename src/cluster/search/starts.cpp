#include "search/starts.hpp"

namespace d2c::cluster {

Partition random_partition(int n_tasks, int k, EmptyClusters empty, CounterRng& rng) {
  const auto draw = [&rng](int bound) { return rng.below(static_cast<std::uint64_t>(bound)); };
  Assignment assignment(n_tasks);
  for (ClusterId& cluster : assignment) cluster = ClusterId(draw(k));
  Partition partition(std::move(assignment), k);
  if (empty == EmptyClusters::allow) return partition;

  IdVector<ClusterId, int> size = partition.sizes();
  for (const ClusterId cluster : size.ids()) {
    while (size[cluster] == 0) {
      const TaskId task(draw(n_tasks));
      int& donor = size[partition[task]];
      if (donor < 2) continue;
      --donor;
      ++size[cluster];
      partition.move(task, cluster);
    }
  }
  return partition;
}

}  // namespace d2c::cluster
