#include "session/setup.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"

namespace d2c::job {

MergePlan merge_plan(const RunOptions& options, const AdapterStore& adapters) {
  MergePlan plan;
  const bool medoid = options.merge_method == medoid_method;
  plan.representative = medoid ? Representative::medoid : Representative::merged;
  // `cat` of one adapter is that adapter.
  plan.method = &merge::find_method(medoid ? "cat" : options.merge_method);
  plan.options = options.merge;
  plan.scale = options.scale;
  plan.stored_dtype = options.merged_dtype.value_or(adapters.common_dtype());
  plan.exchange_bytes = options.exchange_mib << 20;
  plan.members_bytes = options.members_mib * (1 << 20);
  return plan;
}

cluster::SearchOptions search_options(const RunOptions& options, const Job& job) {
  cluster::SearchOptions search;
  search.k = options.k;
  search.seed = options.seed;
  search.restarts = options.restarts;
  search.max_iterations = options.max_iterations;
  search.perturbations = options.perturbations;
  search.empty =
      options.allow_empty ? cluster::EmptyClusters::allow : cluster::EmptyClusters::refill;
  search.max_evaluations = spending(options, job.tasks->n_tasks()).evaluations;
  search.constraints = job.constraints;
  search.matrix = options.final_losses == FinalLosses::all ? cluster::ResultMatrix::full
                                                           : cluster::ResultMatrix::members;
  return search;
}

void check_search(const RunOptions& options, const Job& job) {
  const cluster::SearchMethod& search = cluster::search_method(options.search);
  if (search.check != nullptr) search.check(search_options(options, job), job.tasks->n_tasks());
}

std::uint64_t stored_bytes(const AdapterStore& adapters, const MergePlan& plan) {
  // Files have one rank for all modules, which is the largest (lora::write_adapter).
  struct Size {
    std::uint64_t rows = 0;  ///< values for each rank: of d_in + d_out, over the modules
    Index rank = 0;
    void add(std::uint64_t row, Index module_rank) {
      if (module_rank == 0) return;
      rows += row;
      rank = std::max(rank, module_rank);
    }
    [[nodiscard]] std::uint64_t values() const { return rows * static_cast<std::uint64_t>(rank); }
  };
  Size merged;
  IdVector<AdapterId, Size> alone(adapters.n_adapters());
  for (const ModuleId module : adapters.modules().ids()) {
    const auto& shape = adapters.modules()[module];
    const auto row = static_cast<std::uint64_t>(shape.d_in + shape.d_out);
    Index largest = 0;
    for (const AdapterId adapter : adapters.ids()) {
      const Index rank = adapters.rank_of(adapter, module);
      largest = std::max(largest, rank);
      alone[adapter].add(row, rank);
    }
    if (largest == 0) continue;
    const Index chosen = std::min({plan.options.merged_rank, shape.d_in, shape.d_out});
    merged.add(row, chosen > 0 ? chosen : largest);
  }
  const bool medoid = plan.representative == Representative::medoid;
  const std::uint64_t values =
      medoid ? std::ranges::max(alone, {}, &Size::values).values() : merged.values();
  return values * size_of(plan.stored_dtype);
}

void settle_budget(RunOptions& options, const Job& job, const MergePlan& plan) {
  constexpr double megabyte = 1e6;
  if (plan.representative == Representative::merged && plan.method->adds_ranks) {
    throw UsageError({fmt::format("--budget-mb does not go with --method {}", plan.method->name),
                      "the size of a merged adapter depends on the size of its cluster",
                      "give -K, or another method"});
  }
  const double bytes = static_cast<double>(stored_bytes(*job.adapters, plan));
  const double room = options.budget_mb * megabyte / bytes;
  if (room < 1) {
    throw UsageError({fmt::format("--budget-mb is {:g}", options.budget_mb),
                      fmt::format("one merged adapter takes {:.3f} MB", bytes / megabyte),
                      "give more, or lower --merged-rank or --merged-dtype"});
  }
  options.k = static_cast<int>(std::min(room, static_cast<double>(job.tasks->n_tasks())));
  if (!job.constraints.none()) {
    cluster::check_constraints(job.constraints, job.tasks->n_tasks(), options.k);
  }
}

}  // namespace d2c::job
