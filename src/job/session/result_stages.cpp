#include "session/result_stages.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/place.hpp"
#include "d2c/cluster/registry.hpp"

#include "output/figures.hpp"
#include "output/record.hpp"
#include "output/routing.hpp"
#include "session/distill_clusters.hpp"
#include "session/setup.hpp"

namespace d2c::job {
namespace {

/// Index of the number of clusters that becomes the result.
std::size_t picked(const cluster::Sweep& sweep, int wanted) {
  if (wanted == 0) return sweep.knee;
  const auto place = std::ranges::find(sweep.k, wanted);
  // A search that ended early goes from few clusters to many: its last one is the closest.
  return place == sweep.k.end() ? sweep.k.size() - 1
                                : static_cast<std::size_t>(place - sweep.k.begin());
}

}  // namespace

ResultStages::ResultStages(Session& session)
    : session_(session), losses_(session, session.options()), progress_(session.progress()) {
  const RunOptions& options = session_.options();
  out_.objective_kind = cluster::objective_names.name(options.objective);
  out_.merge_method = options.merge_method;
  out_.tasks = task_table(session_.input());
  out_.skipped = session_.input().skipped;
  out_.baselines = losses_.chosen();
  if (!std::isnan(out_.baselines.at("one").front())) return;
  session_.say(fmt::format(
      "the baseline 'one' is left out: --method {} holds all members at a time, and all adapters "
      "are more than --members-mib {:g}",
      options.merge_method, options.members_mib));
}

cluster::Problem ResultStages::problem(cluster::CachedOracle& cache) {
  cluster::Problem problem = session_.problem(cache, losses_.objective());
  problem.observer = &progress_;
  return problem;
}

void ResultStages::search() {
  const RunOptions& options = session_.options();
  const cluster::Problem problem = this->problem(losses_.cache());
  const cluster::SearchOptions search = search_options(options, session_.input());
  progress_.begin("search " + options.search, options.ks.empty() ? options.k : options.ks.front(),
                  search.max_evaluations);
  if (options.ks.empty()) {
    found_ = cluster::search_method(options.search).run(problem, search);
    return;
  }
  sweep_ = cluster::sweep_k(problem, search, options.ks);
  found_ = sweep_->results[picked(*sweep_, options.sweep_pick)];
  if (options.sweep_pick > 0 && found_.partition.k() != options.sweep_pick) {
    session_.say(fmt::format("warning: the search ended before K = {}, the result has {}",
                             options.sweep_pick, found_.partition.k()));
  }
}

void ResultStages::place(const cluster::Assignment& clusters, const RecordedLosses& recorded) {
  check_recorded(session_.comm(), recorded, session_.input(), out_.baselines, losses_.oracle());
  losses_.cache().restore(recorded.known);
  progress_.begin("placing new tasks", session_.options().k, 0);
  found_ = cluster::place_tasks(problem(losses_.cache()),
                                search_options(session_.options(), session_.input()), clusters);
}

void ResultStages::measure() {
  out_.n_clusters = found_.partition.k();
  session_.progress().begin("baselines and test split", "evaluations");
  losses_.measure_held_out();
  losses_.measure_random(out_.n_clusters);
  out_.baselines = losses_.chosen();
  describe_search(found_, out_);
  if (sweep_) {
    out_.sweep = describe_sweep(losses_, *sweep_);
    out_.evaluations.cached = sweep_->counts.cached;
  }
  partition_ = found_.partition;
  configs_ = configs_of(partition_);
}

void ResultStages::refine() {
  if (session_.options().refinement == Refinement::none) {
    session_.progress().begin("losses of the result", "evaluations");
    describe_result(losses_, measure_clusters(losses_, found_), out_);
  } else {
    distil();
  }
  out_.recipe = describe_configs(losses_.oracle(), partition_, configs_);
}

void ResultStages::distil() {
  const auto stop = [this] { return session_.check(); };
  std::vector<Refined> stages{{"start", configs_, 0, 0}};
  if (!stop()) {
    session_.progress().begin("distilling the merged adapter of each cluster", "steps");
    const Distillation distillation = distill_clusters(losses_, configs_, [&] {
      session_.progress().advance(1);
      return stop();
    });
    report_losers(distillation.losers);
    stages.push_back(
        {"distill", distillation.configs, distillation.changed, distillation.evaluations});
    out_.distill = describe_distillation(distillation.curves, configs_, partition_);
    configs_ = distillation.configs;
  }
  if (stop()) session_.say("warning: the time limit has passed, refinement ended early");
  session_.progress().begin("losses of the result", "evaluations");
  out_.refine = describe_refinement(losses_, stages);
  describe_result(losses_, measure_clusters(losses_, partition_, configs_), out_);
}

void ResultStages::report_losers(const std::vector<TaskId>& tasks) const {
  if (tasks.empty()) return;
  std::vector<std::string> names;
  for (const TaskId task : tasks) names.push_back(out_.tasks.name[task.index()]);
  session_.say(fmt::format("served worse after distillation (on the examples that decide): {}",
                           fmt::join(names, ", ")));
}

void ResultStages::compare_full() {
  const RunOptions& options = session_.options();
  cluster::CachedOracle cache(losses_.oracle(), losses_.folds());
  cache.restore(losses_.cache().save());
  const cluster::SearchResult full = cluster::search_method(options.search)
                                         .run(session_.problem(cache, losses_.objective()),
                                              search_options(options, session_.input()));
  out_.baselines["full"] = full.loss.of(full.partition);
  if (out_.verify) out_.verify->baselines["full"] = cluster::verify(cache, full).of(full.partition);
  if (out_.heldout) {
    out_.heldout->baselines["full"] = losses_.of(full.partition, Split::held_out);
  }
  session_.say(fmt::format(
      "placed: objective {:.6f}, {} losses measured; full search by {}: objective {:.6f}, {} "
      "losses by itself",
      found_.objective, found_.counts.measured(), options.search, full.objective,
      full.counts.evaluations));
}

results::RunResults ResultStages::write(ResultFiles& files, const std::string& manifest) {
  session_.progress().begin("writing the merged adapters");
  written_ = write_merged(session_, losses_.oracle(), configs_, out_, files);
  const WorkCounts& work = losses_.oracle().work();
  out_.evaluations.evaluated = work.units;
  out_.evaluations.merges = work.merges;
  out_.evaluations.tokens = work.tokens_computed;
  out_.evaluations.tokens_unshared = work.tokens_total;
  out_.timing = session_.timing();
  out_.provenance = session_.provenance();
  comm::agree(session_.comm(), [&] {
    if (session_.comm().is_root()) publish(files, manifest);
  });
  return std::move(out_);
}

void ResultStages::publish(ResultFiles& files, const std::string& manifest) {
  std::vector<std::string> merged;
  for (const WrittenAdapter& adapter : written_) {
    if (!adapter.folder.empty()) merged.push_back(cluster_folder(adapter.cluster));
  }
  std::vector<TextFile> texts = routing_files(session_.input(), session_.options(), out_, written_);
  if (!manifest.empty()) texts.push_back({"manifest.json", manifest + "\n"});
  files.publish(out_, merged, texts);
  session_.finish();
}

}  // namespace d2c::job
