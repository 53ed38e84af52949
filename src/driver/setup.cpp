#include "setup.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::driver {

MergePlan merge_plan(const RunOptions& options, const AdapterStore& adapters) {
  MergePlan plan;
  const bool medoid = options.merge_method == medoid_method;
  plan.representative = medoid ? Representative::medoid : Representative::merged;
  // `cat` of one adapter is that adapter.
  plan.method = &merge::find_method(medoid ? "cat" : options.merge_method);
  plan.options = options.merge;
  plan.stored_dtype = options.merged_dtype.value_or(adapters.widest_dtype());
  plan.exchange_bytes = options.exchange_mib << 20;
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
  search.max_evaluations = options.max_evaluations;
  search.constraints = job.constraints;
  return search;
}

std::uint64_t stored_bytes(const AdapterStore& adapters, const MergePlan& plan) {
  std::uint64_t largest = 0;
  if (plan.representative == Representative::medoid) {
    for (int adapter = 0; adapter < adapters.n_adapters(); ++adapter) {
      largest = std::max(largest, adapters.bytes_of(adapter));
    }
  } else {
    MergeRequest all;
    for (int adapter = 0; adapter < adapters.n_adapters(); ++adapter) {
      all.adapters.push_back(adapter);
    }
    largest = merged_bytes(adapters, plan, all);
  }
  return largest / sizeof(float) * size_of(plan.stored_dtype);
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

}  // namespace d2c::driver
