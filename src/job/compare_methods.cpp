#include "d2c/job/compare_methods.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/core/rng.hpp"
#include "d2c/eval/cpu_engine.hpp"

#include "engine/similarity.hpp"
#include "input/job.hpp"
#include "measure.hpp"
#include "output/checkpointing.hpp"
#include "output/record.hpp"
#include "refine_clusters.hpp"
#include "setup.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// The losses of one way to serve the tasks, and what it took to find it.
struct Outcome {
  std::vector<double> chosen;    ///< [task]
  std::vector<double> kept;      ///< [task]; empty where no examples are kept from the search
  std::vector<double> held_out;  ///< [task]; empty where no task has a test split
  std::int64_t evaluations = 0;
  std::int64_t measured = 0;
  double seconds = 0.0;
};

/// Of the adapters' weight changes; computed once for all searches.
struct Similarities {
  cluster::SimilarityProvider plain;
  cluster::SimilarityProvider trimmed;
};

/// Compares the searches of one merge method.
class MethodComparison {
 public:
  MethodComparison(comm::Communicator& comm, const CompareOptions& options, const RunOptions& job,
                   const Job& input, const RunContext& context, eval::LossEngine& engine,
                   PhaseTimers& timers, const Similarities& similarities, results::Comparison& out)
      : comm_(comm),
        options_(options),
        job_(job),
        input_(input),
        context_(context),
        similarities_(similarities),
        folds_{.choose = 1, .verify = job.verify_examples},
        split_(folds_.split(examples_per_task(*input.tasks, Split::few_shot))),
        oracle_({comm, *input.adapters, *input.tasks, input.adapter_of_task, engine, timers},
                merge_plan(job, *input.adapters), folds_,
                {job.merged_mib << 20, job.ranks_per_node, job.balance}),
        weights_(task_weights(input.manifest)),
        method_(job.merge_method),
        out_(out) {}

  /// @param with_references  adds the rows that do not depend on the method
  /// @return  false if a signal came
  bool run(Checkpointing& checkpointing, bool with_references) {
    cluster::CachedOracle shared(oracle_, split_);
    checkpointing.resume(shared);
    known_ = shared.save();
    baselines(shared, checkpointing);
    if (with_references) {
      add("", "base", 0, {baseline("base")});
      add("", "own", 0, {baseline("own")});
    }
    add(method_, "one", 1, {baseline("one")});
    for (const int k : job_.ks.empty() ? std::vector<int>{job_.k} : job_.ks) {
      for (const std::string& search : options_.searches) {
        const bool refines = std::ranges::find(options_.refined, search) != options_.refined.end();
        std::vector<Outcome> outcomes;
        std::vector<Outcome> refined;
        for (int s = 0; s < options_.n_seeds; ++s) {
          const std::uint64_t seed = job_.seed + static_cast<std::uint64_t>(s);
          auto outcome = search_once(search, k, seed, checkpointing, refines ? &refined : nullptr);
          if (!outcome) return false;
          outcomes.push_back(std::move(*outcome));
        }
        add(method_, search, k, outcomes);
        if (refines) add(method_, refined_name(search), k, refined);
      }
    }
    if (options_.methods.back() != method_) {
      shared.restore(known_);
      checkpointing.save(shared);
    }
    return true;
  }

 private:
  void baselines(const cluster::CachedOracle& cache, Checkpointing& checkpointing) {
    few_shot_ = measure_baselines(oracle_, Split::few_shot, checkpointing);
    chosen_ = chosen_part(few_shot_, cache);
    kept_ = verify_part(few_shot_, cache);
    if (input_.tasks->any_held_out()) {
      held_out_ = measure_baselines(oracle_, Split::held_out, checkpointing);
    }
  }

  [[nodiscard]] Outcome baseline(const std::string& name) const {
    Outcome outcome;
    outcome.chosen = chosen_.at(name);
    if (folds_.verify > 0) outcome.kept = kept_.at(name);
    if (!held_out_.empty()) outcome.held_out = held_out_.at(name);
    return outcome;
  }

  /// @param refined  gets the outcome after refinement, if it is wanted
  std::optional<Outcome> search_once(const std::string& name, int k, std::uint64_t seed,
                                     Checkpointing& checkpointing, std::vector<Outcome>* refined) {
    const Stopwatch watch;
    // By itself a search knows nothing: what others measured counts again, but is not measured.
    cluster::CachedOracle cache(oracle_, split_);
    cache.restore(known_);
    const cluster::Objective objective(job_.objective, oracle_.n_tasks(), weights_,
                                       {chosen_.at("base"), chosen_.at("own")});
    cluster::Problem problem{.oracle = cache, .objective = objective};
    problem.similarity = similarities_.plain;
    problem.trimmed_similarity = similarities_.trimmed;
    problem.once = [&](const auto& work) { return on_root(comm_, work); };
    problem.stop = [&] { return checkpointing.stop(cache); };
    RunOptions options = job_;
    options.k = k;
    options.seed = seed;
    cluster::SearchOptions search = search_options(options, input_);
    search.matrix = cluster::ResultMatrix::members;
    const cluster::SearchResult found = cluster::search_method(name).run(problem, search);
    if (checkpointing.stopped_by_signal()) return std::nullopt;

    Outcome outcome;
    outcome.evaluations = found.counts.evaluations;
    outcome.measured = found.counts.measured();
    outcome.seconds = watch.seconds();
    outcome.chosen = found.loss.of(found.partition);
    if (folds_.verify > 0) outcome.kept = cluster::verify(cache, found).of(found.partition);
    if (!held_out_.empty()) outcome.held_out = held_out_losses(found.partition);
    known_ = cache.save();
    if (comm_.is_root() && context_.log) {
      context_.log(fmt::format(
          "{} {} K = {} seed {}: objective {:.4f}, {} evaluations, {} measured", method_, name, k,
          seed, found.objective, outcome.evaluations, outcome.measured));
    }
    if (refined != nullptr) refined->push_back(refine_once(found, cache, objective, outcome));
    return outcome;
  }

  /// @param found_as  the outcome of the search alone
  Outcome refine_once(const cluster::SearchResult& found, const cluster::CachedOracle& cache,
                      const cluster::Objective& objective, const Outcome& found_as) {
    const Stopwatch watch;
    const auto [place, fresh] = refined_of_.try_emplace(found.partition.assignment());
    Outcome& refined = place->second;
    if (fresh) {
      const auto stages =
          refine_clusters(oracle_, input_, objective, recipes_of(found.partition, oracle_.plan()),
                          refine_options(job_, oracle_.plan(), input_));
      for (const cluster::RefineStage& stage : stages) refined.evaluations += stage.evaluations;
      const std::vector<cluster::Recipe>& recipes = stages.back().recipes;
      const std::vector<double> few_shot = losses_of(oracle_, recipes, Split::few_shot);
      refined.chosen = cache.mean_of_chosen(few_shot);
      if (folds_.verify > 0) refined.kept = cache.mean_of_others(few_shot);
      if (!held_out_.empty()) refined.held_out = losses_of(oracle_, recipes, Split::held_out);
    }
    Outcome outcome = refined;
    outcome.evaluations += found_as.evaluations;
    outcome.measured = found_as.measured + (fresh ? refined.evaluations : 0);
    outcome.seconds = found_as.seconds + watch.seconds();
    return outcome;
  }

  /// Searches often find the same partition.
  const std::vector<double>& held_out_losses(const cluster::Partition& partition) {
    const auto [place, fresh] = held_out_of_.try_emplace(partition.assignment());
    if (fresh) place->second = losses_of(oracle_, partition, Split::held_out);
    return place->second;
  }

  /// One outcome stands for all seeds.
  void add(const std::string& method, const std::string& search, int k,
           const std::vector<Outcome>& outcomes) {
    out_.method.push_back(method);
    out_.search.push_back(search);
    out_.k.push_back(k);
    for (int s = 0; s < options_.n_seeds; ++s) {
      const Outcome& outcome = outcomes[std::min(static_cast<std::size_t>(s), outcomes.size() - 1)];
      out_.objective.push_back(objective_of(job_.objective, weights_, chosen_, outcome.chosen));
      out_.gain.push_back(mean_gain(weights_, chosen_, outcome.chosen));
      out_.evaluations.push_back(outcome.evaluations);
      out_.measured.push_back(outcome.measured);
      out_.seconds.push_back(outcome.seconds);
      append(out_.loss, outcome.chosen);
      if (folds_.verify > 0) {
        out_.verify_objective.push_back(
            objective_of(job_.objective, weights_, kept_, outcome.kept));
      }
      if (held_out_.empty()) continue;
      out_.heldout_objective.push_back(
          objective_of(job_.objective, weights_, held_out_, outcome.held_out));
      out_.heldout_gain.push_back(mean_gain(weights_, held_out_, outcome.held_out));
      append(out_.heldout_loss, outcome.held_out);
    }
  }

  static void append(std::vector<double>& all, const std::vector<double>& part) {
    all.insert(all.end(), part.begin(), part.end());
  }

  comm::Communicator& comm_;
  const CompareOptions& options_;
  const RunOptions& job_;
  const Job& input_;
  const RunContext& context_;
  const Similarities& similarities_;
  cluster::ExampleFolds folds_;
  cluster::FoldSplit split_;
  DistributedOracle oracle_;
  std::vector<double> weights_;
  std::string method_;
  results::Comparison& out_;
  MeasuredBaselines few_shot_;
  MeasuredBaselines held_out_;
  results::Baselines chosen_;
  results::Baselines kept_;
  std::vector<cluster::CachedOracle::Entry> known_;
  std::map<cluster::Assignment, std::vector<double>> held_out_of_;
  std::map<cluster::Assignment, Outcome> refined_of_;  ///< evaluations: those of the refinement
};

RunOptions with_method(const RunOptions& job, const std::string& method) {
  RunOptions options = job;
  options.merge_method = method;
  // Each method reads those of the parameters that it has.
  if (method == medoid_method) return options;
  const merge::Method& row = merge::find_method(method);
  const merge::Options defaults;
  if (!row.uses_density) options.merge.density = defaults.density;
  if (!row.uses_majority_sign) options.merge.majority_sign = defaults.majority_sign;
  if (!row.uses_merged_rank) options.merge.merged_rank = defaults.merged_rank;
  return options;
}

/// Some methods need members of equal ranks: better to say so before hours of work.
void check_ranks(const AdapterStore& adapters, const std::string& name) {
  if (name == medoid_method || merge::find_method(name).mixed_ranks) return;
  for (int module = 0; module < static_cast<int>(adapters.modules().size()); ++module) {
    int rank = 0;
    for (int adapter = 0; adapter < adapters.n_adapters(); ++adapter) {
      const int other = adapters.rank_of(adapter, module);
      if (rank != 0 && other != 0 && other != rank) {
        throw UsageError(
            {fmt::format("--methods has {}, which merges adapters of equal ranks only", name),
             fmt::format("{} has ranks {} and {}",
                         adapters.modules()[static_cast<std::size_t>(module)].name, rank, other),
             "leave it out"});
      }
      rank = std::max(rank, other);
    }
  }
}

void refuse_repeats(const std::string& option, std::vector<std::string> names) {
  if (names.empty()) throw UsageError({option + " is empty", "there is nothing to compare", ""});
  std::ranges::sort(names);
  const auto repeated = std::ranges::adjacent_find(names);
  if (repeated != names.end()) {
    throw UsageError({fmt::format("{} names {} twice", option, *repeated), "", "name each once"});
  }
}

}  // namespace

std::string refined_name(const std::string& search) { return search + " refined"; }

void validate(const CompareOptions& options) {
  refuse_repeats("--searches", options.searches);
  if (!options.refined.empty()) refuse_repeats("--refine", options.refined);
  for (const std::string& search : options.refined) {
    if (std::ranges::find(options.searches, search) != options.searches.end()) continue;
    throw UsageError({fmt::format("--refine has {}, which is none of --searches", search),
                      "only clusters that were searched can be refined", "add it to --searches"});
  }
  const bool refines = options.job.tune_scale || options.job.tune_weights;
  if (refines == options.refined.empty()) {
    throw UsageError({refines ? "--scale auto and --member-weights auto need --refine"
                              : "--refine needs --scale auto or --member-weights auto",
                      "the rows of a comparison are as the searches found them",
                      "name the searches to refine, such as --refine auto"});
  }
  refuse_repeats("--methods", options.methods);
  if (options.n_seeds < 1) {
    throw UsageError({"--seeds must be at least 1", "it is the number of seeds to try", ""});
  }
  if (std::ranges::find(options.methods, auto_method) != options.methods.end()) {
    throw UsageError(
        {"--methods does not take 'auto'", "it is a choice among methods", "name the methods"});
  }
  for (const std::string& search : options.searches) {
    if (search == "one" || search == "own") {
      throw UsageError({fmt::format("--searches has {}, a row of every comparison", search),
                        "it is no search but a baseline", "leave it out"});
    }
    RunOptions one = options.job;
    one.ks.clear();
    one.search = search;
    for (const std::string& method : options.methods) validate(with_method(one, method));
  }
}

std::optional<results::Comparison> compare_methods(comm::Communicator& comm,
                                                   const CompareOptions& options,
                                                   const RunContext& context) {
  const RunOptions& job = options.job;
  const fs::path file = job.output / "compare.h5";
  const fs::path csv = job.output / "compare.csv";
  comm::agree(comm, [&] {
    validate(options);
    if (!comm.is_root()) return;
    for (const fs::path& path : {file, csv}) {
      if (!job.overwrite && fs::exists(path)) {
        throw InputError({path, {}}, {"exists already", "results are not overwritten unasked",
                                      "choose another --output or add --overwrite"});
      }
    }
    make_folder(job.output);
  });
  PhaseTimers timers;
  const Job input = load_job(comm, job, timers);
  for (const std::string& warning : input.tasks->warnings()) {
    if (comm.is_root() && context.log) context.log("warning: " + warning);
  }
  comm::agree(comm, [&] {
    for (const std::string& method : options.methods) check_ranks(*input.adapters, method);
    for (const int k : job.ks) {
      if (input.constraints.none()) continue;
      cluster::check_constraints(input.constraints, input.tasks->n_tasks(), k);
    }
  });
  const auto engine = eval::make_cpu_engine(input.model->model, job.threads);
  const Similarities similarities{
      kept([&] {
        return task_similarity(comm, *input.adapters, input.adapter_of_task, job.exchange_mib << 20,
                               job.ranks_per_node, job.threads);
      }),
      kept([&] {
        return trimmed_task_gram(comm, *input.adapters, input.adapter_of_task,
                                 job.exchange_mib << 20, job.ranks_per_node, job.threads);
      })};

  results::Comparison out;
  out.provenance = provenance(comm, job, context, input);
  out.provenance.config_hash = fmt::format(
      "{:016x}",
      hash_name(fmt::format("{} {} {} {} {}", out.provenance.config_hash,
                            fmt::join(options.searches, ","), fmt::join(options.methods, ","),
                            options.n_seeds, fmt::join(options.refined, ","))));
  out.tasks = task_table(input);
  out.objective_kind = cluster::name(job.objective);
  for (int s = 0; s < options.n_seeds; ++s) {
    out.seed.push_back(static_cast<std::int64_t>(job.seed) + s);
  }
  std::vector<Checkpointing> checkpoints;
  for (const std::string& method : options.methods) {
    const RunOptions of_method = with_method(job, method);
    checkpoints.emplace_back(comm, of_method, job.output / ("checkpoint-" + method + ".h5"),
                             config_hash(of_method, input), context.log);
    MethodComparison comparison(comm, options, of_method, input, context, *engine, timers,
                                similarities, out);
    if (!comparison.run(checkpoints.back(), method == options.methods.front())) {
      return std::nullopt;
    }
  }
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    results::write_comparison(
        file, out, job.overwrite ? results::IfExists::replace : results::IfExists::refuse);
    write_text(csv, results::comparison_csv(out));
    for (const Checkpointing& checkpoint : checkpoints) checkpoint.remove();
  });
  return out;
}

}  // namespace d2c::job
