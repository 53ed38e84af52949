#include "session/session.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/digest.hpp"

#include "engine/rank_device.hpp"
#include "input/identity.hpp"
#include "output/record.hpp"
#include "report/phase_report.hpp"
#include "session/setup.hpp"
#include "similarity/similarity.hpp"

namespace d2c::job {
namespace {

/// The device is part of what the job is, automatic is not.
RunOptions with_device(RunOptions options, eval::Device device) {
  options.device = device;
  return options;
}

}  // namespace

Session::Session(comm::Communicator& comm, const RunOptions& options, const RunContext& context,
                 const SessionFiles& files)
    : comm_(comm),
      context_(context),
      choice_(choose_engine(comm, options)),
      options_(with_device(options, choice_.device)),
      input_(load_job(comm, options_, timers_, files.manifest, files.skipped)),
      engine_(made_engine(comm, context, input_.model->model, choice_)),
      inputs_({comm, *input_.adapters, *input_.tasks, input_.adapter_of_task, *engine_, timers_},
              model::input_sites(input_.model->model.config()), options.verify_examples) {
  log_input();
  if (choice_.device == eval::Device::cuda) say("losses by " + engine_->description());
  settle_clusters();
  results::Identity identity;
  if (comm_.is_root()) {
    identity = identity_of(options_, input_);
    identity.insert(files.identity.begin(), files.identity.end());
    hash_ = hash_of(identity);
  }
  checkpointing_ = std::make_unique<Checkpointing>(comm_, options_, context_, files.checkpoint,
                                                   std::move(identity), known_);
  const auto provider = [this](auto compute) {
    return kept([this, compute] {
      check();
      progress().note("comparing adapters");
      const auto timer = timers_.scope("similarity");
      return compute(comm_, *input_.adapters, input_.adapter_of_task, options_.exchange_mib << 20,
                     options_.ranks_per_node, options_.threads);
    });
  };
  similarity_ = provider(task_similarity);
  trimmed_similarity_ = provider(trimmed_task_gram);
  checkpointing_->resume();
  training_ = {.file = checkpointing_->training_file(),
               .job = Digest().update(comm::broadcast_text(comm_, hash_, 0)).value(),
               .with_checkpoints = [this](std::function<void()> save) {
                 checkpointing_->also(std::move(save));
               }};
  this->progress().begin("losses of base model and own adapters", "evaluations");
}

Progress& Session::progress() const {
  return context_.progress == nullptr ? Progress::silent() : *context_.progress;
}

void Session::say(const std::string& line) const {
  if (comm_.is_root() && context_.log) context_.log(line);
}

void Session::settle_clusters() {
  if (options_.budget_mb == 0) return;
  const MergePlan plan = merge_plan(options_, *input_.adapters);
  comm::agree(comm_, [&] { settle_budget(options_, input_, plan); });
  say(fmt::format("K = {}: a merged adapter takes {:.3f} of {:g} MB", options_.k,
                  static_cast<double>(stored_bytes(*input_.adapters, plan)) * 1e-6,
                  options_.budget_mb));
}

void Session::log_input() const {
  const results::SkippedTable& skipped = input_.skipped;
  for (std::size_t i = 0; i < skipped.task.size(); ++i) {
    say(fmt::format("warning: the task {} is left out: {}", skipped.task[i], skipped.reason[i]));
  }
  for (const std::string& warning : input_.tasks->warnings()) say("warning: " + warning);
  for (const std::string& warning : input_.model->warnings()) say("warning: " + warning);
  for (const AdapterId adapter : input_.adapters->idle()) {
    say(
        fmt::format("warning: {}: the adapter changes nothing (all its updates are zero); check "
                    "that it was saved whole",
                    input_.adapters->name(adapter)));
  }
  say(input_.adapters_note);
  const int n_modules = input_.adapters->modules().n();
  int fewest = n_modules;
  int most = 0;
  for (const AdapterId adapter : input_.adapters->ids()) {
    fewest = std::min(fewest, input_.adapters->n_applied(adapter));
    most = std::max(most, input_.adapters->n_applied(adapter));
  }
  say(fmt::format("{} tasks, {} adapters, applied to {} of {} modules", input_.tasks->n_tasks(),
                  input_.adapters->n_adapters(),
                  fewest == most ? fmt::format("{}", most) : fmt::format("{} to {}", fewest, most),
                  n_modules));
}

DistributedOracle::Parts Session::parts() {
  return {{comm_, *input_.adapters, *input_.tasks, input_.adapter_of_task, *engine_, timers_,
           progress()},
          known_,
          pause_,
          &inputs_,
          &training_};
}

cluster::Problem Session::problem(cluster::CachedOracle& cache,
                                  const cluster::Objective& objective) {
  cluster::Problem problem{.oracle = cache, .objective = objective};
  problem.similarity = similarity_;
  problem.trimmed_similarity = trimmed_similarity_;
  problem.once = [this](const auto& work) {
    const auto timer = timers_.scope("similarity");
    return on_root(comm_, work);
  };
  problem.stop = [this] { return check(); };
  return problem;
}

results::Provenance Session::provenance() const {
  return job::provenance(comm_, options_, context_, hash_);
}

results::Timing Session::timing() { return phase_report(comm_, timers_, watch_.seconds()); }

}  // namespace d2c::job
