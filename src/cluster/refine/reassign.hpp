#pragma once

#include "d2c/cluster/refine.hpp"

#include "partition/rules.hpp"
#include "refine/config_losses.hpp"

namespace d2c::cluster {

/// Moves blocks of tasks between clusters that are made by merge configurations, while the measured
/// objective falls: all that a model predicts to gain at once, or the better half of them, and so
/// on; then one by one, moves between different clusters side by side. A move must be no worse on
/// folds that are not chosen by, or, where there are none, on each fold alone.
///
/// @param configs  changed in place; none loses its last member
/// @return         tasks that are in another cluster than before
int reassign(ConfigLosses& losses, const Rules& rules, IdVector<ClusterId, MergeConfig>& configs);

}  // namespace d2c::cluster
