#include "search/starts.hpp"

namespace d2c::cluster {

Partition random_partition(int n_tasks, int k, EmptyClusters empty, CounterRng& rng) {
  const auto draw = [&rng](int bound) {
    return static_cast<int>(rng.below(static_cast<std::uint64_t>(bound)));
  };
  Assignment assignment(static_cast<std::size_t>(n_tasks));
  for (int& cluster : assignment) cluster = draw(k);
  Partition partition(std::move(assignment), k);
  if (empty == EmptyClusters::allow) return partition;

  std::vector<int> size = partition.sizes();
  for (int cluster = 0; cluster < k; ++cluster) {
    while (size[static_cast<std::size_t>(cluster)] == 0) {
      const int task = draw(n_tasks);
      int& donor = size[static_cast<std::size_t>(partition[task])];
      if (donor < 2) continue;
      --donor;
      ++size[static_cast<std::size_t>(cluster)];
      partition.move(task, cluster);
    }
  }
  return partition;
}

}  // namespace d2c::cluster
