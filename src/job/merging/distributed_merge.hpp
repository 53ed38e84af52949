#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "d2c/core/timer.hpp"
#include "d2c/merge/merge.hpp"

#include "adapters/adapter_store.hpp"
#include "merging/input_store.hpp"
#include "merging/merged_arena.hpp"
#include "merging/trained_adapter.hpp"

namespace d2c::job {

/// Adapters to be merged into one, with their weights.
struct MergeRequest {
  std::vector<AdapterId> adapters;  ///< ascending, distinct
  std::vector<double> weights;      ///< one per adapter
  double scale = 1.0;               ///< factor on the merged update; it goes into B
  /// Takes the place of their merge; null = none.
  std::shared_ptr<const TrainedAdapter> trained = nullptr;
};

/// What serves a cluster.
enum class Representative {
  merged,  ///< its adapters, merged
  medoid,  ///< the one of its adapters that serves its tasks best, as it is
};

/// How adapters are merged, and how much memory a rank spends on it.
struct MergePlan {
  const merge::Method* method = nullptr;
  Representative representative = Representative::merged;
  merge::Options options;
  double scale = 1.0;  ///< factor on the merged update of every set that a search asks for
  /// Merged factors are rounded to this type, so that what is evaluated is what gets written.
  DType stored_dtype = DType::f32;
  /// Cap on the factors that a rank receives in one round of exchange; at least one unit travels.
  std::uint64_t exchange_bytes = std::uint64_t{256} << 20;
  /// Cap on the factors of one module that a rank holds where the method needs all members.
  double members_bytes = 4.0 * (1 << 30);

  /// As users call it.
  [[nodiscard]] std::string method_name() const {
    return representative == Representative::medoid ? "medoid" : std::string(method->name);
  }
};

/// Largest size that one merged adapter can have, in bytes.
[[nodiscard]] std::uint64_t merged_bytes(const AdapterStore& store, const MergePlan& plan,
                                         const MergeRequest& request);

/// Whether MergePlan::members_bytes allows the merge. The same on every rank.
[[nodiscard]] bool members_fit(const AdapterStore& store, const MergePlan& plan,
                               const MergeRequest& request);

/// Rounds values to a type in which they are stored.
void round_to(DType type, std::span<float> values);

/// Merges adapters that live on different ranks into the memory of every node, where they are
/// numbered as the requests. The units of work (request, module) are spread over the ranks by cost;
/// the members' factors travel to them in bounded rounds. Members enter in ascending adapter order,
/// so that the result depends neither on the number of ranks nor on the bounds. Collective: every
/// rank passes the same requests.
/// @param inputs  collected; null = no request asks for a method that uses them
/// @param timers  gets the phases "exchange" (factors that travel) and "merge"
/// @throws InputError, the same on every rank, if members cannot be merged
void merge_distributed(comm::Communicator& comm, const AdapterStore& store,
                       const InputStore* inputs, const MergePlan& plan,
                       std::span<const MergeRequest> requests, MergedArena& merged,
                       PhaseTimers& timers);

}  // namespace d2c::job
