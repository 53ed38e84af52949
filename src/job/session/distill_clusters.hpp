#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "losses/method_losses.hpp"

namespace d2c::job {

/// What distillation made of clusters.
struct Distillation {
  std::vector<MergeConfig> configs;  ///< by cluster
  int changed = 0;                   ///< clusters that took their distilled adapter
  std::int64_t evaluations = 0;      ///< of a task under an adapter, or what costs as much
  /// [cluster][step] see Distilled::loss
  std::vector<std::vector<double>> curves;
  /// Tasks of the clusters that took their distilled adapter whose loss on the examples that were
  /// learnt from, or on those kept from the search, is higher than before.
  std::vector<TaskId> losers = {};
};

/// Distils the merged adapter of each cluster from its members' own. A cluster keeps what it had
/// where its part of the objective is worse afterwards, on the examples that the search sees or on
/// those kept from it. Collective.
/// @param stop  asked before each step, see DistillParts::stop
[[nodiscard]] Distillation distill_clusters(MethodLosses& losses,
                                            const std::vector<MergeConfig>& start,
                                            const std::function<bool()>& stop);

}  // namespace d2c::job
