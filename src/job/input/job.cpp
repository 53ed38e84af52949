#include "input/job.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"

#include "adapters/bad_adapters.hpp"
#include "adapters/residence.hpp"
#include "engine/rank_device.hpp"
#include "input/constraints.hpp"
#include "input/shared_model.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// One rank reads the manifest, unless it knows it; all get the same.
std::string share_manifest(comm::Communicator& comm, const fs::path& path, std::string text) {
  comm::agree(comm, [&] {
    if (comm.is_root() && text.empty()) text = to_json(eval::read_manifest(path));
  });
  return comm::broadcast_text(comm, text, 0);
}

/// The distinct adapters in the order of the first task that names each.
std::vector<fs::path> distinct_adapters(const eval::Manifest& manifest,
                                        IdVector<TaskId, AdapterId>& adapter_of_task) {
  std::map<fs::path, AdapterId> index;
  std::vector<fs::path> adapters;
  for (const eval::TaskSpec& task : manifest.tasks) {
    const fs::path adapter = adapter_of(task);
    const auto [place, fresh] = index.emplace(adapter, adapters.size());
    if (fresh) adapters.push_back(adapter);
    adapter_of_task.push_back(place->second);
  }
  return adapters;
}

std::unique_ptr<AdapterSource> open_adapters(comm::Communicator& comm,
                                             const eval::Manifest& manifest,
                                             std::vector<fs::path> adapters) {
  if (manifest.library.empty()) return open_folders(comm, std::move(adapters));
  std::vector<std::string> names;
  names.reserve(adapters.size());
  for (const fs::path& adapter : adapters) names.push_back(adapter.string());
  return open_library(comm, manifest.library, std::move(names));
}

/// The same for the constraints, as text.
std::string share_constraints(comm::Communicator& comm, const RunOptions& options) {
  std::string text;
  comm::agree(comm, [&] {
    if (comm.is_root() && !options.constraints.empty()) text = json::read_text(options.constraints);
  });
  return comm::broadcast_text(comm, text, 0);
}

/// Parses the constraints, and refuses those that no partition of the tasks obeys.
void settle_constraints(comm::Communicator& comm, const RunOptions& options,
                        const std::string& text, Job& job) {
  comm::agree(comm, [&] {
    if (!options.constraints.empty()) {
      job.constraints =
          parse_constraints(text, options.constraints, job.manifest, job.skipped.task);
    }
    job.constraints.min_size = options.min_cluster_size;
    job.constraints.max_size = options.max_cluster_size;
    // A budget decides k only when the adapters are known.
    const int n_tasks = static_cast<int>(job.manifest.tasks.size());
    for (const int k : {options.k, options.sweep_pick}) {
      if (k > 0 && !job.constraints.none()) {
        cluster::check_constraints(job.constraints, n_tasks, k);
      }
    }
  });
}

void check_k(const RunOptions& options, std::size_t n_tasks) {
  if (std::cmp_greater(options.k, n_tasks)) {
    throw UsageError(
        {fmt::format("-K is {}, more than the {} tasks of the manifest", options.k, n_tasks),
         "a cluster needs at least one task", fmt::format("give 1 to {}", n_tasks)});
  }
}

/// A search needs at least one example of every task.
void check_kept_examples(const Job& job, int kept) {
  for (const TaskId task : job.tasks->ids()) {
    const std::int64_t n = job.tasks->facts(task, Split::few_shot).n_examples;
    if (kept == 0 || n > kept) continue;
    throw InputError(
        {job.manifest.tasks[task.index()].examples, {}},
        {fmt::format("has {} example{}, and --verify-examples is {}", n, n == 1 ? "" : "s", kept),
         "the search would see nothing of the task", "keep fewer examples or give the task more"});
  }
}

}  // namespace

Job load_job(comm::Communicator& comm, const RunOptions& options, PhaseTimers& timers,
             const std::string& manifest, const results::SkippedTable& skipped) {
  const auto timer = timers.scope("load");
  Job job;
  job.skipped = skipped;
  job.manifest =
      eval::parse_manifest(share_manifest(comm, options.manifest, manifest), options.manifest);
  comm::agree(comm, [&] { check_k(options, job.manifest.tasks.size()); });
  const std::string constraints = share_constraints(comm, options);
  settle_constraints(comm, options, constraints, job);

  SharedModel model =
      load_shared_model(comm, job.manifest.model,
                        {.weights = options.weights, .compute = engine_choice(options).on_cpu()},
                        options.ranks_per_node);
  job.model = std::make_unique<eval::ModelFolder>(std::move(model.folder));
  job.model_content = std::move(model.content);
  if (options.on_bad_adapter == OnBadAdapter::skip) {
    job.skipped = leave_out_bad_adapters(comm, job.manifest, job.model->model.target_modules());
    comm::agree(comm, [&] { check_k(options, job.manifest.tasks.size()); });
    settle_constraints(comm, options, constraints, job);
  }
  auto source =
      open_adapters(comm, job.manifest, distinct_adapters(job.manifest, job.adapter_of_task));
  const auto owners = comm::balance(source->bytes(), comm.size());
  const Residence residence = decide_residence(comm, options.adapters_in, source->bytes(), owners,
                                               (options.exchange_mib + options.merged_mib) << 20);
  job.adapters_note = fmt::format(
      "adapters are {} ({})",
      residence.in == AdaptersIn::memory ? "kept in memory" : "read from the disk when wanted",
      residence.reason);
  job.adapters = std::make_unique<AdapterStore>(
      comm, std::move(source), owners, job.model->model.target_modules(), job.manifest.model,
      KeepOptions{residence.in, options.adapter_cache_mib << 20});
  job.tasks = std::make_unique<TaskStore>(
      comm, job.manifest, job.model->encoding(options.chat_date), job.model->limits(),
      PackOptions{options.loss_on, options.batch_tokens, job.model->model.config().short_until()},
      options.ranks_per_node);
  comm::agree(comm, [&] { check_kept_examples(job, options.verify_examples); });
  return job;
}

}  // namespace d2c::job
