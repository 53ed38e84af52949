#pragma once

#include "d2c/cluster/oracle.hpp"

namespace d2c::job {

/// How a cluster comes to its adapter.
struct MergeConfig {
  cluster::TaskSet members;
  int trained = -1;  ///< number of the adapter that was trained from their merge; -1 = the merge
};

}  // namespace d2c::job
