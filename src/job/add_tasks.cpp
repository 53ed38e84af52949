#include "d2c/job/add_tasks.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "d2c/cluster/place.hpp"
#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/results/reader.hpp"

#include "input/earlier_result.hpp"
#include "losses/recorded_losses.hpp"
#include "output/output_folder.hpp"
#include "output/result_files.hpp"
#include "session/result_stages.hpp"
#include "session/setup.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;
using Entry = cluster::CachedOracle::Entry;

/// What rank 0 finds out and tells the others.
struct Start {
  std::string config;             ///< options of the result
  int k = 0;                      ///< its clusters
  cluster::Assignment clusters;   ///< of every task; cluster::unplaced = none yet
  RecordedLosses recorded;        ///< of the tasks that have one
  results::SkippedTable skipped;  ///< what the result left out, and is not added now
  std::string manifest;           ///< of all tasks; on rank 0 alone
};

/// All tasks, the old ones first. @throws InputError if the manifests do not go together
eval::Manifest joined(eval::Manifest all, const eval::Manifest& added, const fs::path& file) {
  std::error_code error;
  if (!fs::equivalent(all.model, added.model, error)) {
    throw InputError({file, "model"}, {fmt::format("is {}, but the result was made with {}",
                                                   added.model.string(), all.model.string()),
                                       "adapters of different base models do not go together",
                                       "name the model of the result"});
  }
  if (all.library.empty() != added.library.empty() ||
      (!all.library.empty() && !fs::equivalent(all.library, added.library, error))) {
    throw InputError({file, "library"},
                     {"is not that of the result's tasks", "a job reads one library or none",
                      "pack all adapters into one library, or name folders in both manifests"});
  }
  for (const eval::TaskSpec& task : added.tasks) {
    const bool known = std::ranges::any_of(
        all.tasks, [&](const eval::TaskSpec& other) { return other.name == task.name; });
    if (known) {
      throw InputError({file, "tasks"},
                       {fmt::format("'{}' is a task of the result already", task.name),
                        "names identify tasks in the results", "rename the new task"});
    }
    all.tasks.push_back(task);
  }
  return all;
}

/// Without the tasks that the manifest has by now.
results::SkippedTable still_skipped(const results::SkippedTable& then, const eval::Manifest& now) {
  results::SkippedTable skipped;
  for (std::size_t i = 0; i < then.task.size(); ++i) {
    if (std::ranges::find(now.tasks, then.task[i], &eval::TaskSpec::name) != now.tasks.end()) {
      continue;
    }
    skipped.task.push_back(then.task[i]);
    skipped.adapter.push_back(then.adapter[i]);
    skipped.reason.push_back(then.reason[i]);
  }
  return skipped;
}

/// The losses under the result's merged adapters, where they are those of plain merges.
std::vector<Entry> known_losses(const results::RunResults& result, const RunOptions& options) {
  if (!result.refine.step.empty()) return {};
  // A new task of an old adapter changes what its layers read.
  const bool is_medoid = options.merge_method == medoid_method;
  if (!is_medoid && merge::find_method(options.merge_method).uses_inputs) return {};
  const auto n_tasks = static_cast<int>(result.tasks.name.size());
  const auto k = static_cast<std::size_t>(result.n_clusters);
  std::vector<Entry> entries;
  for (const ClusterId cluster : ids<ClusterId>(result.n_clusters)) {
    Entry entry;
    for (const TaskId task : ids<TaskId>(n_tasks)) {
      if (result.result.assignment[task.index()] == cluster.value()) entry.set.push_back(task);
      const std::size_t place = task.index() * k + cluster.index();
      const double loss = result.result.loss[place];
      const double kept =
          options.verify_examples > 0 && result.verify ? result.verify->loss[place] : 0;
      if (!std::isfinite(loss) || !std::isfinite(kept)) continue;
      entry.tasks.push_back(task);
      entry.losses.push_back(loss);
      if (options.verify_examples > 0) entry.losses.push_back(kept);
    }
    if (!entry.set.empty() && !entry.tasks.empty()) entries.push_back(std::move(entry));
  }
  return entries;
}

/// The losses under a baseline, without which nothing shows that the input is still the same.
const std::vector<double>& recorded(const results::RunResults& result, const std::string& baseline,
                                    const fs::path& file) {
  const auto place = result.baselines.find(baseline);
  if (place != result.baselines.end()) return place->second;
  throw InputError({file, "baseline/" + baseline},
                   {"is missing", "tasks are added only where the input gives the recorded losses",
                    "restore the file or run again"});
}

Start prepare(const AddOptions& options) {
  const fs::path file = results::results_file(options.result);
  std::error_code error;
  if (fs::equivalent(file.parent_path().empty() ? "." : file.parent_path(), options.output,
                     error)) {
    throw UsageError({"--output is the folder of the old result", "that is left as it is",
                      "choose another folder"});
  }
  finish_unlocked(file.parent_path());
  finish_unlocked(options.output);
  const fs::path present = options.output / "manifest.json";
  if (!options.overwrite && fs::exists(present)) {
    throw InputError({present, {}}, {"exists already", "nothing is overwritten unasked",
                                     "choose another --output or add --overwrite"});
  }
  const results::RunResults result = results::read_results(file);
  Start start;
  start.config = result.provenance.config;
  const RunOptions options_then = options_from_json(start.config, file);
  const eval::Manifest all =
      joined(manifest_of(options.manifest.empty() ? options_then.manifest : options.manifest,
                         result, "give its present place by --manifest"),
             eval::read_manifest(options.tasks), options.tasks);
  start.k = result.n_clusters;
  start.clusters = ids_of<ClusterId>(result.result.assignment);
  start.clusters.resize(all.tasks.size(), cluster::unplaced);
  start.recorded.base = recorded(result, "base", file);
  start.recorded.own = recorded(result, "own", file);
  start.recorded.known = known_losses(result, options_then);
  start.skipped = still_skipped(result.skipped, all);
  start.manifest = to_json(all);
  return start;
}

void append_texts(std::vector<std::byte>& bytes, const std::vector<std::string>& texts) {
  const std::uint64_t n = texts.size();
  append_wire(bytes, std::span(&n, 1));
  for (const std::string& text : texts) append_list(bytes, text);
}

void take_texts(std::span<const std::byte>& bytes, std::vector<std::string>& texts) {
  std::uint64_t n = 0;
  take_wire(bytes, std::span(&n, 1));
  texts.resize(n);
  for (std::string& text : texts) take_list(bytes, text);
}

std::vector<std::byte> packed(const Start& start) {
  std::vector<std::byte> bytes;
  append_list(bytes, start.config);
  append_wire(bytes, std::span(&start.k, 1));
  append_list(bytes, start.clusters);
  append_list(bytes, start.recorded.base);
  append_list(bytes, start.recorded.own);
  append_texts(bytes, start.skipped.task);
  append_texts(bytes, start.skipped.adapter);
  append_texts(bytes, start.skipped.reason);
  for (const Entry& entry : start.recorded.known) {
    append_list(bytes, entry.set);
    append_list(bytes, entry.tasks);
    append_list(bytes, entry.losses);
  }
  return bytes;
}

Start unpacked(std::span<const std::byte> bytes) {
  Start start;
  take_list(bytes, start.config);
  take_wire(bytes, std::span(&start.k, 1));
  take_list(bytes, start.clusters);
  take_list(bytes, start.recorded.base);
  take_list(bytes, start.recorded.own);
  take_texts(bytes, start.skipped.task);
  take_texts(bytes, start.skipped.adapter);
  take_texts(bytes, start.skipped.reason);
  while (!bytes.empty()) {
    Entry& entry = start.recorded.known.emplace_back();
    take_list(bytes, entry.set);
    take_list(bytes, entry.tasks);
    take_list(bytes, entry.losses);
  }
  return start;
}

/// Those of the result, but for what belongs to this call.
RunOptions job_options(const AddOptions& options, const Start& start) {
  RunOptions job = options_from_json(start.config, options.result);
  job.manifest = options.output / "manifest.json";
  job.output = options.output;
  job.overwrite = options.overwrite;
  // What the result left out is not among its tasks, and none of them may be left out now.
  job.on_bad_adapter = OnBadAdapter::fail;
  job.k = start.k;
  job.ks.clear();
  job.sweep_pick = 0;
  job.budget_mb = job.max_hours = 0;
  job.threads = options.threads;
  job.ranks_per_node = options.ranks_per_node;
  job.placed =
      start.clusters.n() - static_cast<int>(std::ranges::count(start.clusters, cluster::unplaced));
  return job;
}

}  // namespace

std::optional<results::RunResults> add_tasks(comm::Communicator& comm, const AddOptions& options,
                                             const RunContext& context) {
  std::string manifest;
  std::vector<std::byte> bytes;
  comm::agree(comm, [&] {
    if (!comm.is_root()) return;
    const Start start = prepare(options);
    manifest = start.manifest;
    bytes = packed(start);
  });
  bytes = comm.broadcast(std::move(bytes), 0);
  const Start start = unpacked(bytes);
  const RunOptions job = job_options(options, start);
  comm::agree(comm, [&] { validate(job); });
  ResultFiles files(comm, job);
  return unless_stopped([&] {
    Session session(comm, job, context,
                    {.checkpoint = job.output / "checkpoint.h5",
                     .manifest = manifest,
                     .skipped = start.skipped,
                     .identity = {{"result that tasks are added to",
                                   Digest().update(std::span<const std::byte>(bytes)).text()}}});
    if (options.compare_full) {
      comm::agree(comm, [&] { check_search(session.options(), session.input()); });
    }
    ResultStages stages(session);
    stages.place(start.clusters, start.recorded);
    stages.measure();
    // Tasks that had clusters keep them.
    stages.refine();
    if (options.compare_full) stages.compare_full();
    return stages.write(files, manifest);
  });
}

}  // namespace d2c::job
