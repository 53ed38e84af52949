#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id_vector.hpp"
#include "d2c/lora/adapter.hpp"

#include "merging/trained_adapter.hpp"

namespace d2c::job {

/// A task that learns in a step, under the adapter of its cluster.
struct LearningTask {
  int cluster = 0;  ///< index into the adapters
  TaskId task;
  int rank = 0;  ///< that computes the gradient
};

/// The tasks of a step in pieces, whose gradients travel together.
struct LearningPlan {
  std::vector<LearningTask> tasks;  ///< by cluster, then by task: the order of all sums
  std::vector<std::size_t> rounds;  ///< [rounds + 1] where each begins
};

/// Spreads tasks over the ranks, round by round and by cost.
/// @param tasks     in their order; the ranks are filled in
/// @param costs     [tasks]
/// @param bytes     [tasks] of a gradient
/// @param rank_cap  bytes of gradients that a rank sends in a round, about; one at least
[[nodiscard]] LearningPlan plan_learning(std::vector<LearningTask> tasks,
                                         std::span<const double> costs,
                                         std::span<const std::uint64_t> bytes, int n_ranks,
                                         std::uint64_t rank_cap);

/// Cuts a round into slices that are delivered after each other, so that no rank gets more than
/// `rank_cap` bytes at a time, or the parts of one task: where ranks are more than parts, few ranks
/// get what all send.
/// @param adapters  by cluster
/// @return          [slices + 1] where each begins
[[nodiscard]] std::vector<std::size_t> cut_round(
    std::span<const TrainedAdapter* const> adapters,
    const IdVector<ModuleId, lora::TargetModule>& modules, std::span<const LearningTask> round,
    std::uint64_t rank_cap);

/// Brings the gradients of a slice to the ranks that have the parts of the adapters. What a rank
/// sends and gets is known to both ends: a parcel holds for each task, in order, the parts that its
/// receiver has.
class GradientExchange {
 public:
  /// @param adapters  by cluster
  GradientExchange(comm::Communicator& comm, std::span<const TrainedAdapter* const> adapters,
                   const IdVector<ModuleId, lora::TargetModule>& modules,
                   std::span<const LearningTask> slice);

  /// Puts the gradient of a task of this rank in its place. Different tasks from any threads.
  /// @param index  into the slice
  void put(std::size_t index, const lora::FactorMap& gradient);
  /// Sends what was put and calls add(task, module, values) for all parts that this rank
  /// has: task by task in the order of the slice, part by part. Call once.
  /// @param add  gets A and B of the part, after each other
  void deliver(const std::function<void(const LearningTask& task, ModuleId module,
                                        std::span<const float> values)>& add);

 private:
  comm::Communicator& comm_;
  std::span<const TrainedAdapter* const> adapters_;
  const IdVector<ModuleId, lora::TargetModule>& modules_;
  std::span<const LearningTask> slice_;
  std::vector<std::vector<std::size_t>> offsets_;  ///< [slice][parts] in the parcel of their rank
  std::vector<comm::Parcel> outgoing_;
  std::vector<std::size_t> place_of_rank_;  ///< [ranks] in outgoing_
  std::map<int, std::size_t> incoming_;     ///< bytes from each rank
};

}  // namespace d2c::job
