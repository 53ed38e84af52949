#include "d2c/job/run.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/cluster/place.hpp"
#include "d2c/cluster/registry.hpp"
#include "d2c/cluster/sweep.hpp"
#include "d2c/core/error.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/results/writer.hpp"

#include "cross_fitting.hpp"
#include "engine/similarity.hpp"
#include "input/job.hpp"
#include "measure.hpp"
#include "output/checkpointing.hpp"
#include "output/figures.hpp"
#include "output/merged_writer.hpp"
#include "output/output_folder.hpp"
#include "output/phase_report.hpp"
#include "output/record.hpp"
#include "refine_clusters.hpp"
#include "run_job.hpp"
#include "setup.hpp"

namespace d2c::job {
namespace {

/// Says so on rank 0.
void say(const comm::Communicator& comm, const RunContext& context, const std::string& line) {
  if (comm.is_root() && context.log) context.log(line);
}

void log_input(const comm::Communicator& comm, const RunContext& context, const Job& job) {
  for (const std::string& warning : job.tasks->warnings()) {
    say(comm, context, "warning: " + warning);
  }
  for (const std::string& warning : job.model->warnings()) {
    say(comm, context, "warning: " + warning);
  }
  for (const int adapter : job.adapters->idle()) {
    say(comm, context,
        fmt::format(
            "warning: {}: the adapter changes nothing (all its updates are zero); check that "
            "it was saved whole",
            job.adapters->name(adapter)));
  }
  say(comm, context, job.adapters_note);
  const int n_modules = static_cast<int>(job.adapters->modules().size());
  int fewest = n_modules;
  int most = 0;
  for (int adapter = 0; adapter < job.adapters->n_adapters(); ++adapter) {
    fewest = std::min(fewest, job.adapters->n_applied(adapter));
    most = std::max(most, job.adapters->n_applied(adapter));
  }
  say(comm, context,
      fmt::format("{} tasks, {} adapters, applied to {} of {} modules", job.tasks->n_tasks(),
                  job.adapters->n_adapters(),
                  fewest == most ? fmt::format("{}", most) : fmt::format("{} to {}", fewest, most),
                  n_modules));
}

/// Index of the number of clusters that becomes the result.
std::size_t picked(const cluster::Sweep& sweep, int wanted) {
  if (wanted == 0) return sweep.knee;
  const auto place = std::ranges::find(sweep.k, wanted);
  // A search that ended early goes from few clusters to many: its last one is the closest.
  return place == sweep.k.end() ? sweep.k.size() - 1
                                : static_cast<std::size_t>(place - sweep.k.begin());
}

/// Searches as the options ask; with several numbers of clusters, `sweep` gets them all.
cluster::SearchResult search_clusters(const cluster::Problem& problem, const RunOptions& options,
                                      const Job& job, std::optional<cluster::Sweep>& sweep) {
  const cluster::SearchOptions search = search_options(options, job);
  if (options.ks.empty()) return cluster::search_method(options.search).run(problem, search);
  sweep = cluster::sweep_k(problem, search, options.ks);
  return sweep->results[picked(*sweep, options.sweep_pick)];
}

/// Searches all clusters anew, as if nothing was known, and adds what that is worth to the
/// baselines. Collective.
void add_full_search(const comm::Communicator& comm, const RunContext& context, const Bench& bench,
                     const cluster::Problem& placing, const cluster::SearchResult& placed,
                     results::RunResults& out) {
  cluster::CachedOracle cache(bench.oracle, bench.oracle.folds().split(examples_per_task(
                                                *bench.job.tasks, Split::few_shot)));
  cache.restore(bench.cache.save());
  cluster::Problem problem{.oracle = cache, .objective = placing.objective};
  problem.similarity = placing.similarity;
  problem.trimmed_similarity = placing.trimmed_similarity;
  const cluster::SearchResult full = cluster::search_method(bench.options.search)
                                         .run(problem, search_options(bench.options, bench.job));
  out.baselines["full"] = full.loss.of(full.partition);
  if (out.verify) out.verify->baselines["full"] = cluster::verify(cache, full).of(full.partition);
  if (out.heldout) {
    out.heldout->baselines["full"] = losses_of(bench.oracle, full.partition, Split::held_out);
  }
  say(comm, context,
      fmt::format("placed: objective {:.6f}, {} losses measured; full search by {}: objective "
                  "{:.6f}, {} losses by itself",
                  placed.objective, placed.counts.measured(), bench.options.search, full.objective,
                  full.counts.evaluations));
}

/// Adds what the search is worth on examples that it did not see. Collective.
void add_cross_fit(const comm::Communicator& comm, const RunContext& context, const Bench& bench,
                   const cluster::Problem& problem, const cluster::SearchResult& found,
                   const std::optional<cluster::Sweep>& sweep, Checkpointing& checkpointing,
                   results::RunResults& out) {
  say(comm, context,
      fmt::format("searching again without each of {} parts of the examples",
                  bench.options.cross_fit));
  const auto search = [&](const cluster::Problem& rest) {
    std::optional<cluster::Sweep> all;
    const cluster::SearchResult one = search_clusters(rest, bench.options, bench.job, all);
    return all ? all->results : std::vector{one};
  };
  auto known = bench.cache.save();
  const auto fit = checkpointing.stop(bench.cache)
                       ? std::nullopt
                       : cross_fit_search(bench.oracle, problem, bench.options, bench.few_shot,
                                          bench.weights, bench.job, checkpointing, search, known);
  if (!fit) {
    say(comm, context, "warning: the job was to end, --cross-fit is left out");
    return;
  }
  const std::size_t of_result =
      sweep ? static_cast<std::size_t>(std::ranges::find(sweep->k, found.partition.k()) -
                                       sweep->k.begin())
            : 0;
  out.crossfit = describe_cross_fit(bench, *fit, of_result, found.partition);
  if (!sweep) return;
  for (std::size_t i = 0; i < sweep->k.size(); ++i) {
    const auto at_k = describe_cross_fit(bench, *fit, i, sweep->results[i].partition);
    out.sweep.crossfit_objective.push_back(at_k.objective);
    out.sweep.crossfit_gain.push_back(
        mean_gain(bench.weights, chosen_part(bench.few_shot, bench.cache), at_k.loss));
  }
}

}  // namespace

std::optional<results::RunResults> run(comm::Communicator& comm, const RunOptions& options,
                                       const RunContext& context) {
  return run_job(comm, options, context, nullptr);
}

std::optional<results::RunResults> run_job(comm::Communicator& comm, const RunOptions& given,
                                           const RunContext& context, const Placement* placement) {
  RunOptions options = given;
  OutputFolder folder(options.output, options.overwrite);
  std::unique_ptr<results::ResultsWriter> writer;
  comm::agree(comm, [&] {
    validate(options);
    if (!comm.is_root()) return;
    folder.prepare();
    writer = std::make_unique<results::ResultsWriter>(
        options.output / "results.h5",
        options.overwrite ? results::IfExists::replace : results::IfExists::refuse);
  });
  const std::filesystem::path merged_partial =
      options.output / comm::broadcast_text(comm, folder.merged_partial_name(), 0);

  PhaseTimers timers;
  const Stopwatch total;
  const Job job = load_job(comm, options, timers, placement == nullptr ? "" : placement->manifest);
  log_input(comm, context, job);
  const MergePlan plan = merge_plan(options, *job.adapters);
  if (options.budget_mb > 0) {
    comm::agree(comm, [&] { settle_budget(options, job, plan); });
    say(comm, context,
        fmt::format("K = {}: a merged adapter takes {:.3f} of {:g} MB", options.k,
                    static_cast<double>(stored_bytes(*job.adapters, plan)) * 1e-6,
                    options.budget_mb));
  }

  const auto engine = eval::make_cpu_engine(job.model->model, options.threads);
  const cluster::ExampleFolds folds = example_folds(options, *job.tasks);
  DistributedOracle oracle(
      {comm, *job.adapters, *job.tasks, job.adapter_of_task, *engine, timers}, plan, folds,
      {options.merged_mib << 20, options.ranks_per_node, options.balance, options.race_mib << 20});
  cluster::CachedOracle cache(oracle, folds.split(examples_per_task(*job.tasks, Split::few_shot)),
                              {options.racing, options.racing_check, options.seed});

  results::RunResults out;
  out.provenance = provenance(comm, options, context, job);
  out.objective_kind = cluster::name(options.objective);
  out.merge_method = options.merge_method;
  out.tasks = task_table(job);
  Checkpointing checkpointing(comm, options, options.output / "checkpoint.h5",
                              out.provenance.config_hash, context.log);
  checkpointing.resume(cache);
  MeasuredBaselines few_shot = measure_baselines(oracle, Split::few_shot, checkpointing);
  out.baselines = chosen_part(few_shot, cache);
  if (std::isnan(few_shot.at("one").front())) {
    say(comm, context,
        fmt::format("the baseline 'one' is left out: --method {} holds all members at a time, and "
                    "all adapters are more than --members-mib {:g}",
                    options.merge_method, options.members_mib));
  }

  const std::vector<double> weights = task_weights(job.manifest);
  const cluster::Objective objective(options.objective, oracle.n_tasks(), weights,
                                     {out.baselines.at("base"), out.baselines.at("own")});
  ProgressLog progress(comm.is_root() ? context.log : nullptr);
  cluster::Problem problem{.oracle = cache, .objective = objective};
  problem.observer = &progress;
  problem.stop = [&] { return checkpointing.stop(cache); };
  problem.once = [&](const auto& work) {
    const auto timer = timers.scope("similarity");
    return on_root(comm, work);
  };
  problem.similarity = kept([&] {
    const auto timer = timers.scope("similarity");
    return task_similarity(comm, *job.adapters, job.adapter_of_task, options.exchange_mib << 20,
                           options.ranks_per_node, options.threads);
  });
  problem.trimmed_similarity = kept([&] {
    const auto timer = timers.scope("similarity");
    return trimmed_task_gram(comm, *job.adapters, job.adapter_of_task, options.exchange_mib << 20,
                             options.ranks_per_node, options.threads);
  });
  std::optional<cluster::Sweep> sweep;
  if (placement != nullptr) {
    check_recorded(comm, placement->recorded, job, out.baselines, oracle);
    cache.restore(placement->recorded.known);
  }
  const cluster::SearchResult search =
      placement != nullptr
          ? cluster::place_tasks(problem, search_options(options, job), placement->clusters)
          : search_clusters(problem, options, job, sweep);
  if (checkpointing.stopped_by_signal()) return std::nullopt;

  out.n_clusters = search.partition.k();
  if (options.sweep_pick > 0 && out.n_clusters != options.sweep_pick) {
    say(comm, context,
        fmt::format("warning: the search ended before K = {}, the result has {}",
                    options.sweep_pick, out.n_clusters));
  }
  few_shot["random"] = measure_random(oracle, out.n_clusters, options.seed, Split::few_shot);
  out.baselines = chosen_part(few_shot, cache);
  MeasuredBaselines held_out;
  if (job.tasks->any_held_out()) {
    held_out = measure_baselines(oracle, Split::held_out, checkpointing);
    held_out["random"] = measure_random(oracle, out.n_clusters, options.seed, Split::held_out);
    if (checkpointing.stop(cache) && checkpointing.stopped_by_signal()) return std::nullopt;
  }
  const Bench bench{options, job, oracle, cache, weights, few_shot, held_out};
  describe_search(search, progress, out);
  if (sweep) out.sweep = describe_sweep(bench, *sweep);
  if (options.cross_fit > 0) {
    add_cross_fit(comm, context, bench, problem, search, sweep, checkpointing, out);
    if (checkpointing.stopped_by_signal()) return std::nullopt;
  }
  std::vector<cluster::Recipe> recipes = recipes_of(search.partition, plan);
  cluster::Partition partition = search.partition;
  cluster::RefineOptions refinement = refine_options(options, plan, job);
  // Tasks that had clusters keep them.
  if (placement != nullptr) refinement.rounds = 0;
  if (refines(refinement)) {
    say(comm, context, "refining the merged adapter of each cluster");
    const auto stages = refine_clusters(oracle, job, objective, recipes, refinement);
    out.refine = describe_refinement(bench, stages);
    recipes = stages.back().recipes;
    partition = partition_of(recipes, oracle.n_tasks(), out.n_clusters);
    describe_result(bench, measure_clusters(bench, partition, recipes), out);
  } else {
    describe_result(bench, measure_clusters(bench, search), out);
  }
  if (options.racing > 0) {
    out.racing = describe_racing(bench);
    if (out.refine.step.empty()) out.racing->estimate = search.estimate.values;
  }
  out.recipe = describe_recipes(plan, partition, recipes);
  if (placement != nullptr && placement->compare_full) {
    add_full_search(comm, context, bench, problem, search, out);
  }

  {
    const auto timer = timers.scope("write");
    write_merged(comm, options, job, oracle, recipes, out, merged_partial, writer.get());
  }
  const WorkCounts& work = oracle.work();
  out.evaluations.evaluated = work.units;
  out.evaluations.merges = work.merges;
  out.evaluations.tokens = work.tokens_computed;
  out.evaluations.tokens_unshared = work.tokens_total;
  out.timing = phase_report(comm, timers, total.seconds());
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    writer->complete(out);
    std::vector<std::string> merged;
    if (options.merged_output != MergedOutput::hdf5) {
      for (const cluster::Recipe& recipe : recipes) {
        const auto member = static_cast<std::size_t>(recipe.members.front());
        merged.push_back(cluster_folder(out.result.assignment[member]));
      }
    }
    folder.publish(*writer, merged, placement == nullptr ? "" : placement->manifest);
    checkpointing.remove();
  });
  return out;
}

}  // namespace d2c::job
