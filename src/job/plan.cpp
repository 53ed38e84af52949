#include "d2c/job/plan.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "d2c/comm/distribution.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/model/cost.hpp"

#include "engine/distributed_merge.hpp"
#include "input/job.hpp"
#include "session/setup.hpp"

namespace d2c::job {
namespace {

/// Sum of the ranks that merged modules reading one input can have: q, k and v, at worst.
Index joint_rank(const AdapterStore& adapters, const MergePlan& plan, const MergeRequest& all) {
  Index largest = plan.options.merged_rank;
  Index sum = 0;
  for (int module = 0; module < static_cast<int>(adapters.modules().size()); ++module) {
    Index of_module = 0;
    for (const int adapter : all.adapters) {
      largest = std::max<Index>(largest, adapters.rank_of(adapter, module));
      of_module += adapters.rank_of(adapter, module);
    }
    sum = std::max(sum, of_module);
  }
  return 3 * (plan.method->adds_ranks ? sum : largest);
}

/// Largest load of a rank over the mean, when units are cut into pieces.
double imbalance_of(std::span<const double> costs, int n_ranks) {
  const auto piece_begin = comm::cut(costs, n_ranks);
  std::vector<int> owners;
  for (int rank = 0; rank < n_ranks; ++rank) {
    const auto r = static_cast<std::size_t>(rank);
    owners.insert(owners.end(), piece_begin[r + 1] - piece_begin[r], rank);
  }
  return comm::imbalance(costs, owners, n_ranks);
}

std::uint64_t sum_over_ranks(comm::Communicator& comm, double bytes) {
  auto total = static_cast<std::int64_t>(bytes);
  comm.sum({&total, 1});
  return static_cast<std::uint64_t>(total);
}

/// What a distinct token of the first task costs under an adapter of rank 0, if it has one, in
/// seconds. 0 on the other ranks.
double measure_token_seconds(const comm::Communicator& comm, const Job& job,
                             eval::LossEngine& engine) {
  if (!comm.is_root()) return 0.0;
  constexpr int repeats = 3;
  lora::FactorMap factors;
  for (int adapter = 0; adapter < job.adapters->n_adapters() && factors.empty(); ++adapter) {
    if (job.adapters->owner(adapter) == comm.rank()) factors = job.adapters->local(adapter);
  }
  const eval::AdapterHandle adapter = factors.empty() ? nullptr : engine.prepare(factors);
  const auto task = job.tasks->packed(0, Split::few_shot);
  double least = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    eval::Unit unit{.adapter = adapter, .batches = task->batches};
    least = std::min(least, eval::losses_of(engine, std::move(unit)).seconds);
  }
  return least / static_cast<double>(job.tasks->facts(0, Split::few_shot).n_computed);
}

}  // namespace

Plan make_plan(comm::Communicator& comm, const RunOptions& given) {
  RunOptions options = given;
  comm::agree(comm, [&] { validate_search(options); });
  PhaseTimers timers;
  const Job job = load_job(comm, options, timers);
  if (options.budget_mb > 0) {
    const MergePlan asked = merge_plan(options, *job.adapters);
    comm::agree(comm, [&] { settle_budget(options, job, asked); });
  }
  const auto& config = job.model->model.config();
  const auto engine = eval::make_cpu_engine(job.model->model, options.threads);

  Plan plan;
  plan.options = given;
  plan.n_tasks = job.tasks->n_tasks();
  plan.n_adapters = job.adapters->n_adapters();
  plan.k = options.k;
  plan.manifest = std::filesystem::absolute(options.manifest).lexically_normal().string();
  plan.model = job.manifest.model.string();
  plan.n_ranks = comm.size();
  plan.units_per_iteration = std::int64_t{plan.n_tasks} * plan.k;
  std::vector<double> costs;
  double flop = 0.0;
  for (int task = 0; task < plan.n_tasks; ++task) {
    const TaskFacts& facts = job.tasks->facts(task, Split::few_shot);
    plan.few_shot_tokens += facts.n_tokens;
    plan.few_shot_computed += facts.n_computed;
    plan.few_shot_targets += facts.n_targets;
    plan.held_out_computed += job.tasks->facts(task, Split::held_out).n_computed;
    plan.n_held_out += job.tasks->facts(task, Split::held_out).n_examples > 0 ? 1 : 0;
    // An iteration evaluates a task under every merged adapter.
    costs.insert(costs.end(), static_cast<std::size_t>(plan.k),
                 static_cast<double>(facts.n_computed));
  }
  plan.imbalance = imbalance_of(costs, comm.size());

  MergePlan merging;
  // A medoid is no larger than the result of `average`.
  const bool by_name = options.merge_method != medoid_method && options.merge_method != auto_method;
  merging.method = &merge::find_method(by_name ? options.merge_method : "average");
  merging.options = options.merge;
  MergeRequest all;
  for (int adapter = 0; adapter < plan.n_adapters; ++adapter) all.adapters.push_back(adapter);
  const Index rank = joint_rank(*job.adapters, merging, all);

  double activation = 0.0;
  double most_tokens = 0.0;  // of a task that is raced for
  for (int task = 0; task < plan.n_tasks; ++task) {
    if (task % comm.size() != comm.rank()) continue;
    for (const Split split : {Split::few_shot, Split::held_out}) {
      if (job.tasks->facts(task, split).n_examples == 0) continue;
      const auto packed = job.tasks->packed(task, split);
      model::BatchSize whole;
      for (const eval::Batch& batch : packed->batches) {
        const model::BatchSize size = model::size_of(batch.forest, std::ssize(batch.targets));
        activation =
            std::max(activation, static_cast<double>(engine->activation_bytes(size, rank)));
        if (split == Split::few_shot) flop += model::flops(config, size);
        whole.n_tokens += size.n_tokens;
        whole.n_segments += size.n_segments;
        whole.n_targets += size.n_targets;
        whole.longest = std::max(whole.longest, size.longest);
      }
      if (options.racing == 0 || split != Split::few_shot) continue;
      // Later parts of the examples are computed beside what is kept of earlier ones.
      activation = std::max(activation, static_cast<double>(engine->activation_bytes(whole, rank)));
      most_tokens = std::max(most_tokens, static_cast<double>(whole.n_tokens));
    }
  }
  comm.maximum({&activation, 1});
  comm.maximum({&most_tokens, 1});
  const auto kept = static_cast<std::uint64_t>(most_tokens) * static_cast<std::uint64_t>(plan.k) *
                    engine->kept_token_bytes();
  plan.race_bytes =
      std::min(kept, options.race_mib << 20) * static_cast<std::uint64_t>(options.threads);
  plan.activation_bytes = static_cast<std::uint64_t>(activation);
  auto adapter_bytes = static_cast<double>(job.adapters->local_bytes());
  plan.all_adapter_bytes = sum_over_ranks(comm, adapter_bytes);
  comm.maximum({&adapter_bytes, 1});
  plan.adapter_bytes = static_cast<std::uint64_t>(adapter_bytes);
  plan.adapters_note = job.adapters_note;
  plan.example_bytes = job.tasks->node_bytes();
  const auto flops_of_ranks =
      comm::all_gather_values<double>(comm, std::span<const double>(&flop, 1));
  for (const auto& part : flops_of_ranks) plan.flop_per_iteration += part.front() * plan.k;

  plan.weights_are_bf16 = job.model->model.format() == ops::WeightFormat::bf16;
  plan.compute = job.model->model.arithmetic();
  plan.parameters = static_cast<std::int64_t>(model::parameters_per_token(config) +
                                              model::parameters_per_target(config));
  plan.weight_bytes = model::weight_bytes(config, job.model->model.format());
  const std::uint64_t one_merged = merged_bytes(*job.adapters, merging, all);
  const std::uint64_t all_merged = one_merged * static_cast<std::uint64_t>(plan.k);
  // A race needs the merged adapters of all clusters at a time.
  plan.merged_bytes = options.racing > 0
                          ? all_merged
                          : std::max(one_merged, std::min(all_merged, options.merged_mib << 20));
  // As it is read and made ready; threads may be at different clusters, and races at all of them.
  const auto threads = static_cast<std::uint64_t>(options.threads);
  const std::uint64_t in_use = threads == 1 ? 2
                               : options.racing > 0
                                   ? 2 * threads
                                   : std::min<std::uint64_t>(threads, options.k) + 2;
  plan.in_use_bytes = in_use * one_merged;
  std::uint64_t travelling = 0;
  for (int adapter = 0; adapter < plan.n_adapters; ++adapter) {
    travelling += job.adapters->bytes_of(adapter);
  }
  plan.exchange_bytes = std::min(travelling, options.exchange_mib << 20);
  plan.packed_bytes = PackOptions{}.cache_bytes;
  for (int adapter = 0; adapter < plan.n_adapters; ++adapter) {
    for (int module = 0; module < static_cast<int>(job.adapters->modules().size()); ++module) {
      plan.adapter_rank = std::max(plan.adapter_rank, job.adapters->rank_of(adapter, module));
    }
  }
  double token_seconds = measure_token_seconds(comm, job, *engine);
  comm.maximum({&token_seconds, 1});
  plan.unit_seconds = token_seconds * static_cast<double>(plan.few_shot_computed) / plan.n_tasks;
  return plan;
}

}  // namespace d2c::job
