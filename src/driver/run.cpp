#include "d2c/driver/run.hpp"

#include <chrono>
#include <map>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"
#include "d2c/driver/version.hpp"
#include "d2c/results/writer.hpp"

#include "checkpointing.hpp"
#include "job.hpp"
#include "measure.hpp"
#include "merged_writer.hpp"
#include "phase_report.hpp"
#include "similarity.hpp"

namespace d2c::driver {
namespace {

/// Logs each iteration of the search on rank 0, and notes when it came.
class ProgressLog final : public cluster::Observer {
 public:
  ProgressLog(const comm::Communicator& comm, const RunContext& context)
      : comm_(comm), context_(context) {}

  void on_iteration(const cluster::Progress& progress) override {
    seconds_[{progress.restart, progress.iteration}] = watch_.seconds() - last_;
    last_ = watch_.seconds();
    if (!comm_.is_root() || !context_.log) return;
    context_.log(fmt::format(
        "{:8.1f} s  start {:>3}  iteration {:>3}  objective {:.4f}  best {:.4f}  moved {:>4}  "
        "evaluations {}",
        watch_.seconds(), progress.restart + 1, progress.iteration + 1, progress.objective,
        progress.best, progress.moved, progress.evaluations));
  }

  /// Seconds that an iteration took, what led to it included.
  [[nodiscard]] double seconds(int restart, int iteration) const {
    const auto place = seconds_.find({restart, iteration});
    return place == seconds_.end() ? 0.0 : place->second;
  }

 private:
  const comm::Communicator& comm_;
  const RunContext& context_;
  Stopwatch watch_;
  double last_ = 0.0;
  std::map<std::pair<int, int>, double> seconds_;
};

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
}

void describe_tasks(const Job& job, results::RunResults& out) {
  for (int task = 0; task < job.tasks->n_tasks(); ++task) {
    const TaskSpec& spec = job.manifest.tasks[static_cast<std::size_t>(task)];
    const TaskFacts& facts = job.tasks->facts(task, Split::few_shot);
    out.tasks.name.push_back(spec.name);
    out.tasks.adapter.push_back(spec.adapter.lexically_normal().string());
    out.tasks.n_examples.push_back(facts.n_examples);
    out.tasks.n_tokens.push_back(facts.n_targets);
    out.tasks.weight.push_back(spec.weight);
  }
}

void describe_search(const cluster::SearchResult& search, const ProgressLog& progress,
                     results::RunResults& out) {
  for (const cluster::Iteration& iteration : search.history) {
    out.iterations.seconds.push_back(
        progress.seconds(search.best_restart, static_cast<int>(out.iterations.seconds.size())));
    out.iterations.restart.push_back(search.best_restart);
    out.iterations.assignment.insert(out.iterations.assignment.end(), iteration.assignment.begin(),
                                     iteration.assignment.end());
    out.iterations.loss.insert(out.iterations.loss.end(), iteration.loss.values.begin(),
                               iteration.loss.values.end());
    out.iterations.objective.push_back(iteration.objective);
    out.iterations.moved.push_back(iteration.moved);
  }
  for (const cluster::RestartSummary& restart : search.restarts) {
    out.restarts.objective.push_back(restart.objective);
    out.restarts.iterations.push_back(restart.iterations);
    out.restarts.stop_reason.emplace_back(cluster::name(restart.stop));
  }
  for (const cluster::CurvePoint& point : search.curve) {
    out.curve.evaluations.push_back(point.evaluations);
    out.curve.objective.push_back(point.objective);
  }
  out.evaluations.cached = search.counts.cached;
}

/// What the partition is worth on the examples that the search did not see. Collective.
void describe_unseen(const RunOptions& options, const Job& job, DistributedOracle& oracle,
                     cluster::CachedOracle& cache, const MeasuredBaselines& few_shot,
                     const cluster::SearchResult& search, results::RunResults& out) {
  const std::vector<double> weights = task_weights(job.manifest);
  if (options.verify_examples > 0) {
    out.verify = unseen(options, weights, search.partition, cluster::verify(cache, search),
                        verify_part(few_shot, cache));
    out.verify->n_examples.assign(out.tasks.name.size(), options.verify_examples);
  }
  if (job.tasks->any_held_out()) {
    out.heldout =
        unseen(options, weights, search.partition, held_out_matrix(oracle, search.partition),
               measure_baselines(oracle, options.k, options.seed, Split::held_out));
    for (int task = 0; task < job.tasks->n_tasks(); ++task) {
      const TaskFacts& facts = job.tasks->facts(task, Split::held_out);
      out.heldout->n_examples.push_back(facts.n_examples);
      out.heldout->n_tokens.push_back(facts.n_targets);
    }
  }
}

void describe_result(const cluster::SearchResult& search, results::RunResults& out) {
  out.result.assignment = search.partition.assignment();
  out.result.loss = search.loss.values;
  out.result.objective = search.objective;
  for (const int size : search.partition.sizes()) out.result.size.push_back(size);
  Comparison comparison = compare(out.baselines, search.loss.of(search.partition));
  out.result.gain = std::move(comparison.gain);
  out.result.regret = std::move(comparison.regret);
}

results::Provenance provenance(const comm::Communicator& comm, const RunOptions& options,
                               const RunContext& context, const Job& job) {
  results::Provenance p;
  p.version = version();
  p.git_commit = git_commit();
  p.created_utc = utc_now();
  p.mpi_ranks = comm.size();
  p.threads = options.threads;
  p.seed = options.seed;
  p.command_line = context.command_line;
  p.config = to_json(options);
  p.config_hash = config_hash(options, job.manifest_json);
  return p;
}

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

cluster::SearchOptions search_options(const RunOptions& options) {
  cluster::SearchOptions search;
  search.k = options.k;
  search.seed = options.seed;
  search.restarts = options.restarts;
  search.max_iterations = options.max_iterations;
  search.perturbations = options.perturbations;
  search.empty =
      options.allow_empty ? cluster::EmptyClusters::allow : cluster::EmptyClusters::refill;
  search.max_evaluations = options.max_evaluations;
  return search;
}

void log_input(const comm::Communicator& comm, const RunContext& context, const Job& job) {
  if (!comm.is_root() || !context.log) return;
  for (const std::string& warning : job.tasks->warnings()) context.log("warning: " + warning);
  const std::string rounding = rounding_warning(job.model->model);
  if (!rounding.empty()) context.log("warning: " + rounding);
  context.log(job.adapters_note);
  const int n_modules = static_cast<int>(job.adapters->modules().size());
  int fewest = n_modules;
  int most = 0;
  for (int adapter = 0; adapter < job.adapters->n_adapters(); ++adapter) {
    fewest = std::min(fewest, job.adapters->n_applied(adapter));
    most = std::max(most, job.adapters->n_applied(adapter));
  }
  context.log(fmt::format(
      "{} tasks, {} adapters, applied to {} of {} modules", job.tasks->n_tasks(),
      job.adapters->n_adapters(),
      fewest == most ? fmt::format("{}", most) : fmt::format("{} to {}", fewest, most), n_modules));
}

}  // namespace

std::optional<results::RunResults> run(comm::Communicator& comm, const RunOptions& options,
                                       const RunContext& context) {
  MergedFolders folders(options.output, options.overwrite);
  std::unique_ptr<results::ResultsWriter> writer;
  comm::agree(comm, [&] {
    validate(options);
    if (!comm.is_root()) return;
    folders.prepare();
    writer = std::make_unique<results::ResultsWriter>(
        options.output / "results.h5",
        options.overwrite ? results::IfExists::replace : results::IfExists::refuse);
  });

  PhaseTimers timers;
  const Stopwatch total;
  const Job job = load_job(comm, options, timers);
  log_input(comm, context, job);

  eval::Evaluator evaluator(job.model->model);
  const cluster::ExampleFolds folds{.choose = 1, .verify = options.verify_examples};
  DistributedOracle oracle(
      {comm, *job.adapters, *job.tasks, job.adapter_of_task, evaluator, timers},
      merge_plan(options, *job.adapters), folds,
      {options.merged_mib << 20, options.ranks_per_node, options.balance});
  cluster::CachedOracle cache(oracle, folds.split(examples_per_task(*job.tasks, Split::few_shot)));

  results::RunResults out;
  out.provenance = provenance(comm, options, context, job);
  out.n_clusters = options.k;
  out.objective_kind = cluster::name(options.objective);
  out.merge_method = options.merge_method;
  describe_tasks(job, out);
  const MeasuredBaselines few_shot =
      measure_baselines(oracle, options.k, options.seed, Split::few_shot);
  out.baselines = chosen_part(few_shot, cache);

  const cluster::Objective objective(options.objective, oracle.n_tasks(),
                                     task_weights(job.manifest),
                                     {out.baselines.at("base"), out.baselines.at("own")});
  Checkpointing checkpointing(comm, options, out.provenance.config_hash, context.log);
  checkpointing.resume(cache);
  ProgressLog progress(comm, context);
  cluster::Problem problem{.oracle = cache, .objective = objective};
  problem.observer = &progress;
  problem.stop = [&] { return checkpointing.stop(cache); };
  problem.similarity = [&] {
    const auto timer = timers.scope("similarity");
    return task_similarity(comm, *job.adapters, job.adapter_of_task, options.exchange_mib << 20,
                           options.ranks_per_node);
  };
  problem.trimmed_similarity = [&] {
    const auto timer = timers.scope("similarity");
    return trimmed_task_gram(comm, *job.adapters, job.adapter_of_task, options.exchange_mib << 20,
                             options.ranks_per_node);
  };
  const cluster::SearchResult search =
      cluster::search_method(options.search).run(problem, search_options(options));
  if (checkpointing.stopped_by_signal()) return std::nullopt;
  describe_search(search, progress, out);
  describe_result(search, out);
  describe_unseen(options, job, oracle, cache, few_shot, search, out);

  {
    const auto timer = timers.scope("write");
    write_merged(comm, options, job, oracle, out, folders, writer.get());
  }
  const WorkCounts& work = oracle.work();
  out.evaluations.evaluated = work.units;
  out.evaluations.merges = work.merges;
  out.evaluations.tokens = work.tokens_computed;
  out.evaluations.tokens_unshared = work.tokens_total;
  out.timing = phase_report(comm, timers, total.seconds());
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    if (options.merged_output != MergedOutput::hdf5) folders.publish();
    writer->finish(out);
    checkpointing.remove();
  });
  return out;
}

}  // namespace d2c::driver
