#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "d2c/cluster/oracle.hpp"

#include "merging/distributed_merge.hpp"
#include "merging/merged_arena.hpp"

namespace d2c::job {

/// Merges the adapters of sets of tasks over all ranks into the memory of every node.
class Merger {
 public:
  /// Collective.
  /// @param inputs          of methods that use them; null = there are none
  /// @param node_bytes      cap on the merged adapters that a node holds at a time; at least one is
  ///                        held
  /// @param ranks_per_node  see comm::Communicator::nodes
  Merger(const JobParts& parts, InputStore* inputs, MergePlan plan, std::uint64_t node_bytes,
         int ranks_per_node);

  /// Distinct adapters of a set's tasks; an adapter weighs as many tasks as name it.
  [[nodiscard]] MergeRequest members_of(const cluster::TaskSet& set) const;

  /// Merges adapters, which are numbered as the requests from then on. Collective.
  void merge(std::span<const MergeRequest> requests);
  /// The same for as many at a time as the cap allows.
  /// @param use  called when requests [begin, end) are merged
  void merge_in_turn(std::span<const MergeRequest> requests,
                     const std::function<void(std::size_t begin, std::size_t end)>& use);
  /// How many of the first requests the cap allows at a time.
  [[nodiscard]] std::size_t n_that_fit(std::span<const MergeRequest> requests) const;
  /// A copy of one that was merged last. Any thread.
  [[nodiscard]] lora::FactorMap merged(std::size_t index) const { return arena_.adapter(index); }

  [[nodiscard]] const MergePlan& plan() const { return plan_; }

 private:
  JobParts parts_;
  InputStore* inputs_;
  MergePlan plan_;
  std::uint64_t node_bytes_;
  MergedArena arena_;
};

}  // namespace d2c::job
