#pragma once

#include <functional>
#include <vector>

#include "d2c/cluster/refine.hpp"

#include "losses/method_losses.hpp"

namespace d2c::job {

/// What distillation made of clusters.
struct Distillation {
  cluster::RefineStage stage;
  /// [cluster][step] see Distilled::loss
  std::vector<std::vector<double>> curves;
  /// Tasks of the clusters that took their distilled adapter whose loss on the examples that were
  /// learnt from, or on those kept from the search, is higher than before.
  std::vector<TaskId> losers;
};

/// Distils the merged adapter of each cluster from its members' own. A cluster keeps what it had
/// where its part of the objective is worse afterwards, on the examples that the search sees or on
/// those kept from it. Collective.
/// @param stop  asked before each step, see DistillParts::stop
[[nodiscard]] Distillation distill_clusters(MethodLosses& losses,
                                            const std::vector<cluster::MergeConfig>& start,
                                            const std::function<bool()>& stop);

}  // namespace d2c::job
