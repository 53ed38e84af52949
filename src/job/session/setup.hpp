#pragma once

#include "d2c/cluster/search.hpp"
#include "d2c/job/run_options.hpp"

#include "adapters/adapter_store.hpp"
#include "input/job.hpp"
#include "merging/distributed_merge.hpp"

namespace d2c::job {

/// How the options ask for adapters to be merged.
[[nodiscard]] MergePlan merge_plan(const RunOptions& options, const AdapterStore& adapters);

/// What the options ask of a search, with the constraints of the job.
[[nodiscard]] cluster::SearchOptions search_options(const RunOptions& options, const Job& job);

/// @throws UsageError if the search cannot take the tasks of the job
void check_search(const RunOptions& options, const Job& job);

/// Bytes of the factors of one merged adapter as it is stored, at most.
[[nodiscard]] std::uint64_t stored_bytes(const AdapterStore& adapters, const MergePlan& plan);

/// Sets `k` to the number of merged adapters that the budget has room for, at most one per task.
/// @throws UsageError if there is no room for one, the size of one depends on the clusters, or the
/// constraints rule k out
void settle_budget(RunOptions& options, const Job& job, const MergePlan& plan);

}  // namespace d2c::job
