#include "d2c/job/plan.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "d2c/cluster/registry.hpp"
#include "d2c/comm/distribution.hpp"
#include "d2c/model/cost.hpp"

#include "distill/trainer.hpp"
#include "engine/rank_device.hpp"
#include "input/job.hpp"
#include "lessons/lessons.hpp"
#include "lessons/material.hpp"
#include "merging/distributed_merge.hpp"
#include "merging/input_store.hpp"
#include "merging/merger.hpp"
#include "session/setup.hpp"

namespace d2c::job {
namespace {

/// Sum of the ranks that merged modules reading one input can have: q, k and v, at worst.
Index joint_rank(const AdapterStore& adapters, const MergePlan& plan, const MergeRequest& all) {
  Index largest = plan.options.merged_rank;
  Index sum = 0;
  for (const ModuleId module : adapters.modules().ids()) {
    Index of_module = 0;
    for (const AdapterId adapter : all.adapters) {
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
/// @param n_units  that are evaluated at a time
double measure_token_seconds(const comm::Communicator& comm, const Job& job,
                             eval::LossEngine& engine, std::size_t n_units) {
  if (!comm.is_root()) return 0.0;
  constexpr int repeats = 3;
  lora::FactorMap factors;
  for (const AdapterId adapter : job.adapters->ids()) {
    if (!factors.empty()) break;
    if (job.adapters->owner(adapter) == comm.rank()) factors = job.adapters->local(adapter);
  }
  const eval::AdapterHandle adapter = factors.empty() ? nullptr : engine.prepare(factors);
  const auto task = job.tasks->packed(0, Split::few_shot);
  double least = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    double seconds = 0.0;
    std::vector<eval::Unit> units;
    while (units.size() < n_units) {
      units.push_back(eval::Unit{.adapter = adapter, .batches = task->batches});
    }
    for (const auto& result : eval::losses_of(engine, std::move(units))) seconds += result.seconds;
    least = std::min(least, seconds / static_cast<double>(n_units));
  }
  return least / static_cast<double>(job.tasks->facts(0, Split::few_shot).n_computed);
}

MaterialOptions material_of(const Plan& plan) {
  const Spending most = spending(plan.options, plan.n_tasks);
  return {plan.options.refine_batch, most.variants, most.steps};
}

cluster::ExampleFolds folds_of(const RunOptions& options) {
  return {.choose = 1, .verify = options.verify_examples};
}

/// Examples, and the evaluations of an iteration: a task under every merged adapter.
void add_evaluations(const Job& job, Plan& plan) {
  plan.evaluations_per_iteration = std::int64_t{plan.n_tasks} * plan.k;
  std::vector<double> costs;
  for (const TaskId task : job.tasks->ids()) {
    const TaskFacts& facts = job.tasks->facts(task, Split::few_shot);
    plan.few_shot_tokens += facts.n_tokens;
    plan.few_shot_computed += facts.n_computed;
    plan.few_shot_targets += facts.n_targets;
    plan.held_out_computed += job.tasks->facts(task, Split::held_out).n_computed;
    plan.n_held_out += job.tasks->facts(task, Split::held_out).n_examples > 0 ? 1 : 0;
    costs.insert(costs.end(), static_cast<std::size_t>(plan.k),
                 static_cast<double>(facts.n_computed));
  }
  if (plan.options.refinement == Refinement::distill) {
    const MaterialOptions material = material_of(plan);
    double cost = 0.0;
    for (const TaskId task : job.tasks->ids()) {
      const std::int64_t n_examples = job.tasks->facts(task, Split::few_shot).n_examples;
      const std::int64_t n = folds_of(plan.options).n_seen(n_examples);
      // Of those that it learns from; then the task is measured.
      const double share = static_cast<double>(n) / static_cast<double>(n_examples);
      cost += 1.0 + share * learning_cost(n, material, material.steps);
    }
    plan.refine_evaluations = std::llround(cost);
  }
  plan.imbalance = imbalance_of(costs, plan.n_ranks);
}

/// What forward passes take. Collective; each rank looks at its share of the tasks.
/// @param rank  of the adapter
void add_passes(comm::Communicator& comm, const Job& job, const eval::LossEngine& engine,
                Index rank, Plan& plan) {
  double activation_bytes = 0.0;  // largest
  double flop = 0.0;              // of the few-shot examples under one adapter each
  for (int number = comm.rank(); number < job.tasks->n_tasks(); number += comm.size()) {
    const TaskId task(number);
    for (const Split split : {Split::few_shot, Split::held_out}) {
      if (job.tasks->facts(task, split).n_examples == 0) continue;
      const auto packed = job.tasks->packed(task, split);
      for (const eval::Batch& batch : packed->batches) {
        const model::BatchSize size = model::size_of(batch.forest, std::ssize(batch.targets));
        activation_bytes =
            std::max(activation_bytes, static_cast<double>(engine.activation_bytes(size, rank)));
        if (split == Split::few_shot) flop += model::flops(job.model->model.config(), size);
      }
    }
  }
  comm.maximum({&activation_bytes, 1});
  const auto flops = comm::all_gather_values<double>(comm, std::span<const double>(&flop, 1));
  for (const auto& part : flops) plan.flop_per_iteration += part.front() * plan.k;
  plan.activation_bytes = static_cast<std::uint64_t>(activation_bytes);
}

/// What a rank holds while it distils. Collective.
/// @param rank  as of add_passes()
/// @param one   bytes of a merged adapter
void add_refinement(comm::Communicator& comm, const Job& job, const eval::LossEngine& engine,
                    Index rank, std::uint64_t one, Plan& plan) {
  const RunOptions& options = plan.options;
  if (options.refinement != Refinement::distill) return;
  const Index tokens = std::min(teacher_tokens, job.model->model.config().vocab_size);
  double activations = 0.0;
  double lessons = 0.0;
  for (int number = comm.rank(); number < job.tasks->n_tasks(); number += comm.size()) {
    for (const auto& portion :
         untaught_lessons(*job.tasks, TaskId(number), folds_of(options), material_of(plan))) {
      for (const eval::Lesson& lesson : portion) {
        const eval::Batch& batch = lesson.batch;
        const model::BatchSize size = model::size_of(batch.forest, std::ssize(batch.targets));
        activations = std::max(activations, static_cast<double>(engine.gradient_bytes(size, rank)));
        lessons += static_cast<double>(lesson_bytes(batch, tokens));
      }
    }
  }
  comm.maximum({&activations, 1});
  const auto n_ranks = static_cast<std::uint64_t>(plan.n_ranks);
  const auto n_tasks = static_cast<std::uint64_t>(plan.n_tasks);
  const auto k = static_cast<std::uint64_t>(plan.k);
  const auto threads = static_cast<std::uint64_t>(options.threads);
  // So many clusters learn side by side.
  const std::uint64_t side_by_side =
      std::clamp<std::uint64_t>((options.merged_mib << 20) / std::max<std::uint64_t>(one, 1), 1, k);
  const std::uint64_t tasks_of_rank = (n_tasks * side_by_side / k + n_ranks - 1) / n_ranks;
  const std::uint64_t in_flight = std::max(one, (options.exchange_mib << 20) / 2);
  plan.refinement = {
      .activation_bytes = static_cast<std::uint64_t>(activations),
      .lesson_bytes = 2 * sum_over_ranks(comm, lessons) / n_ranks * side_by_side / k,
      .optimiser_bytes = k * TrainedFactors::held_bytes(one / sizeof(float)) / n_ranks,
      // Each as the backward pass has it and by module, and sent and received; and the adapters
      // that they are of.
      .gradient_bytes = 2 * threads * one + 2 * std::min(tasks_of_rank * one, in_flight) +
                        std::min(side_by_side, tasks_of_rank) * one};
}

void add_adapters(comm::Communicator& comm, const RunOptions& options, const Job& job, Plan& plan) {
  auto bytes = static_cast<double>(job.adapters->local_bytes());
  plan.all_adapter_bytes = sum_over_ranks(comm, bytes);
  comm.maximum({&bytes, 1});
  plan.adapter_bytes = static_cast<std::uint64_t>(bytes);
  plan.adapters_note = job.adapters_note;
  std::uint64_t travelling = 0;
  for (const AdapterId adapter : job.adapters->ids()) {
    travelling += job.adapters->bytes_of(adapter);
    for (const ModuleId module : job.adapters->modules().ids()) {
      plan.adapter_rank = std::max(plan.adapter_rank, job.adapters->rank_of(adapter, module));
    }
  }
  plan.exchange_bytes = std::min(travelling, options.exchange_mib << 20);
}

/// What a merge method that uses the layers' inputs takes.
void add_inputs(comm::Communicator& comm, const Job& job, Plan& plan) {
  const Sites sites = model::input_sites(job.model->model.config());
  double bytes = 0.0;
  for (const AdapterId adapter : job.adapters->ids()) {
    if (job.adapters->owner(adapter) != comm.rank()) continue;
    bytes += static_cast<double>(
        input_bytes(*job.adapters, *job.tasks, sites, adapter, job.adapter_of_task));
  }
  comm.maximum({&bytes, 1});
  plan.input_bytes = static_cast<std::uint64_t>(bytes);
  // S, and as much for a member's moment; N and S^-1 N.
  for (const lora::TargetModule& module : job.adapters->modules()) {
    const auto d_in = static_cast<std::uint64_t>(module.d_in);
    const auto d_out = static_cast<std::uint64_t>(module.d_out);
    if (d_in == static_cast<std::uint64_t>(job.model->model.config().vocab_size)) continue;
    plan.merge_bytes = std::max(plan.merge_bytes, 2 * d_in * (d_in + d_out) * sizeof(double));
  }
}

/// @param one  bytes of a merged adapter
void add_merged(const RunOptions& options, std::uint64_t one, Plan& plan) {
  const std::uint64_t all = one * static_cast<std::uint64_t>(plan.k);
  plan.merged_bytes = std::max(one, std::min(all, options.merged_mib << 20));
  // As it is read and made ready; threads may be at different clusters.
  const auto threads = static_cast<std::uint64_t>(options.threads);
  const std::uint64_t in_use = threads == 1 ? 2 : std::min<std::uint64_t>(threads, options.k) + 2;
  plan.in_use_bytes = in_use * one;
}

void add_model(const Job& job, Plan& plan) {
  const model::Model& model = job.model->model;
  plan.model = job.manifest.model.string();
  plan.weights_are_bf16 = model.format() == ops::WeightFormat::bf16;
  plan.parameters = static_cast<std::int64_t>(model::parameters_per_token(model.config()) +
                                              model::parameters_per_target(model.config()));
  plan.weight_bytes = model::weight_bytes(model.config(), model.format());
}

/// Wall time of merging one cluster of mean size on all ranks, their exchange included. Collective.
double measure_merge(comm::Communicator& comm, const RunOptions& options, const Job& job,
                     eval::LossEngine& engine, const Plan& plan) {
  MergePlan merging = merge_plan(options, *job.adapters);
  // What layers read is not collected for this.
  if (merging.method->uses_inputs) merging.method = &merge::find_method("average");
  PhaseTimers timers;
  Merger merger({comm, *job.adapters, *job.tasks, job.adapter_of_task, engine, timers}, nullptr,
                merging, options.merged_mib << 20, options.ranks_per_node);
  cluster::TaskSet members;
  for (const TaskId task : job.tasks->ids()) {
    if (task.value() % plan.k == 0) members.push_back(task);
  }
  const MergeRequest request = merger.members_of(members);
  if (!members_fit(*job.adapters, merging, request)) return 0.0;
  double least = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < 2; ++repeat) {
    const Stopwatch watch;
    merger.merge(std::span(&request, 1));
    least = std::min(least, watch.seconds());
  }
  comm.maximum({&least, 1});
  return least;
}

/// What the search takes by experience, and the rest by count.
void add_job(const RunOptions& options, Plan& plan) {
  const cluster::SearchMethod& search = cluster::search_method(options.search);
  const double n = plan.n_tasks;
  // A few tasks have no more sets than this.
  const double all = n * std::pow(2.0, std::min(n, 60.0) - 1);
  const double n_searches = options.ks.empty() ? 1.0 : static_cast<double>(options.ks.size());
  const bool is_exhaustive = options.search == "exhaustive";
  plan.search_evaluations = {
      is_exhaustive ? all : std::min(all, n * search.least_evaluations),
      is_exhaustive ? all : std::min(all, n_searches * n * search.most_evaluations)};
  const auto limit = static_cast<double>(spending(options, plan.n_tasks).evaluations);
  if (limit > 0) {
    plan.search_evaluations.least = std::min(plan.search_evaluations.least, limit);
    plan.search_evaluations.most = std::min(plan.search_evaluations.most, n_searches * limit);
  }
  // All tasks are measured under an adapter, or its members alone.
  plan.merges = {plan.search_evaluations.least / n, plan.search_evaluations.most * plan.k / n};
  const double final_ones = options.final_losses == FinalLosses::all ? plan.k : 1.0;
  constexpr double baselines = 4.0;  // base, own, one, random
  const double held_out =
      static_cast<double>(plan.held_out_computed) / static_cast<double>(plan.few_shot_computed);
  plan.other_evaluations = n * (baselines + final_ones) * (1.0 + held_out);
  const double on_ranks = plan.imbalance / plan.n_ranks;
  const int threads = plan.device == eval::Device::cuda ? 1 : options.threads;
  const double per_evaluation = plan.evaluation_seconds * on_ranks / threads;
  const double fixed = per_evaluation * plan.other_evaluations +
                       plan.refine_evaluation_seconds * on_ranks / options.threads *
                           static_cast<double>(plan.refine_evaluations) +
                       plan.merge_seconds * (3.0 * plan.k + 2.0);
  plan.job_seconds = {fixed + per_evaluation * plan.search_evaluations.least +
                          plan.merge_seconds * plan.merges.least,
                      fixed + per_evaluation * plan.search_evaluations.most +
                          plan.merge_seconds * plan.merges.most};
}

}  // namespace

Plan make_plan(comm::Communicator& comm, const RunOptions& given) {
  RunOptions options = given;
  comm::agree(comm, [&] { validate_search(options); });
  PhaseTimers timers;
  const eval::EngineChoice choice = choose_engine(comm, options);
  options.device = choice.device;
  const Job job = load_job(comm, options, timers);
  if (options.budget_mb > 0) {
    const MergePlan asked = merge_plan(options, *job.adapters);
    comm::agree(comm, [&] { settle_budget(options, job, asked); });
  }
  comm::agree(comm, [&] { check_search(options, job); });
  const auto engine = made_engine(comm, {}, job.model->model, choice);
  Plan plan;
  plan.options = given;
  plan.compute = options.compute;
  plan.device = options.device;
  if (plan.device == eval::Device::cuda) plan.device_note = engine->description();
  plan.n_tasks = job.tasks->n_tasks();
  plan.n_adapters = job.adapters->n_adapters();
  plan.k = options.k;
  plan.n_ranks = comm.size();
  plan.manifest = std::filesystem::absolute(options.manifest).lexically_normal().string();
  plan.example_bytes = job.tasks->node_bytes();
  plan.packed_bytes = PackOptions{}.cache_bytes;
  add_model(job, plan);
  add_evaluations(job, plan);
  add_adapters(comm, options, job, plan);

  MergePlan merging;
  // A medoid is no larger than the result of `average`.
  const bool by_name = options.merge_method != medoid_method;
  merging.method = &merge::find_method(by_name ? options.merge_method : "average");
  merging.options = options.merge;
  MergeRequest all;
  for (const AdapterId adapter : job.adapters->ids()) all.adapters.push_back(adapter);
  const std::uint64_t one = merged_bytes(*job.adapters, merging, all);
  const Index rank = joint_rank(*job.adapters, merging, all);
  add_merged(options, one, plan);
  add_passes(comm, job, *engine, rank, plan);
  add_refinement(comm, job, *engine, rank, one, plan);

  if (merging.method->uses_inputs) add_inputs(comm, job, plan);

  const auto evaluation_seconds = [&](eval::LossEngine& by, std::size_t n_units) {
    double token_seconds = measure_token_seconds(comm, job, by, n_units);
    comm.maximum({&token_seconds, 1});
    return token_seconds * static_cast<double>(plan.few_shot_computed) / plan.n_tasks;
  };
  const bool is_gpu = plan.device == eval::Device::cuda;
  constexpr std::size_t units_of_a_pass = 64;
  plan.evaluation_seconds = evaluation_seconds(*engine, is_gpu ? units_of_a_pass : 1);
  plan.refine_evaluation_seconds = plan.evaluation_seconds;
  if (is_gpu && plan.refine_evaluations > 0) {
    plan.refine_evaluation_seconds =
        evaluation_seconds(*eval::make_engine(job.model->model, {.threads = options.threads}), 1);
  }
  plan.merge_seconds = measure_merge(comm, options, job, *engine, plan);
  add_job(options, plan);
  return plan;
}

}  // namespace d2c::job
