#pragma once

#include <vector>

#include "d2c/cluster/partition.hpp"
#include "d2c/driver/distributed_oracle.hpp"
#include "d2c/driver/run_options.hpp"
#include "d2c/results/run_results.hpp"

#include "job.hpp"

namespace d2c::driver {

/// Weight of every task in the objective. [task]
[[nodiscard]] std::vector<double> task_weights(const Manifest& manifest);

/// The losses that every user compares with, on one split: base, own, one (all adapters merged) and
/// random (a random partition into as many clusters). Collective.
[[nodiscard]] results::Baselines measure_baselines(DistributedOracle& oracle,
                                                   const RunOptions& options, Split split);

/// Losses of tasks on the scale from the base model to their own adapters.
struct Comparison {
  std::vector<double> gain;    ///< [task] 1 = as good as the own adapter, 0 = base model
  std::vector<double> regret;  ///< [task] loss minus that of the own adapter, nats per token
};
[[nodiscard]] Comparison compare(const results::Baselines& baselines,
                                 const std::vector<double>& loss);

/// The partition and the baselines on the held-out examples. Collective.
[[nodiscard]] results::HeldOut measure_held_out(DistributedOracle& oracle,
                                                const RunOptions& options, const Job& job,
                                                const cluster::Partition& partition);

}  // namespace d2c::driver
