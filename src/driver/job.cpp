#include "job.hpp"

#include <filesystem>
#include <map>
#include <system_error>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"

namespace d2c::driver {
namespace {

namespace fs = std::filesystem;

/// One rank reads the manifest; all get the same.
std::string share_manifest(comm::Communicator& comm, const fs::path& path) {
  std::string text;
  comm::agree(comm, [&] {
    if (comm.is_root()) text = to_json(read_manifest(path));
  });
  return comm::broadcast_text(comm, text, 0);
}

/// Folders of the distinct adapters in the order of the first task that names each.
std::vector<fs::path> distinct_adapters(const Manifest& manifest,
                                        std::vector<int>& adapter_of_task) {
  std::map<fs::path, int> index;
  std::vector<fs::path> folders;
  for (const TaskSpec& task : manifest.tasks) {
    const fs::path folder = task.adapter.lexically_normal();
    const auto [place, fresh] = index.emplace(folder, static_cast<int>(folders.size()));
    if (fresh) folders.push_back(folder);
    adapter_of_task.push_back(place->second);
  }
  return folders;
}

/// Bytes of each adapter's file; each rank asks the file system for its share. A missing file
/// counts as one byte: reading it will name it.
std::vector<double> file_sizes(comm::Communicator& comm, const std::vector<fs::path>& folders) {
  std::vector<double> sizes(folders.size(), 0.0);
  for (auto i = static_cast<std::size_t>(comm.rank()); i < folders.size();
       i += static_cast<std::size_t>(comm.size())) {
    std::error_code error;
    const auto bytes = fs::file_size(folders[i] / "adapter_model.safetensors", error);
    sizes[i] = error ? 1.0 : static_cast<double>(bytes);
  }
  comm.sum(sizes);
  return sizes;
}

/// A search needs at least one example of every task.
void check_kept_examples(const Job& job, int kept) {
  for (int task = 0; kept > 0 && task < job.tasks->n_tasks(); ++task) {
    const std::int64_t n = job.tasks->facts(task, Split::few_shot).n_examples;
    if (n > kept) continue;
    throw InputError(
        {job.manifest.tasks[static_cast<std::size_t>(task)].examples, {}},
        {fmt::format("has {} example{}, and --verify-examples is {}", n, n == 1 ? "" : "s", kept),
         "the search would see nothing of the task", "keep fewer examples or give the task more"});
  }
}

}  // namespace

Job load_job(comm::Communicator& comm, const RunOptions& options, PhaseTimers& timers) {
  const auto timer = timers.scope("load");
  Job job;
  job.manifest_json = share_manifest(comm, options.manifest);
  job.manifest = parse_manifest(job.manifest_json, options.manifest);
  comm::agree(comm, [&] { validate(options, static_cast<int>(job.manifest.tasks.size())); });

  job.model = std::make_unique<ModelFolder>(
      load_model_folder(comm, job.manifest.model, options.weights, options.ranks_per_node));
  const std::vector<fs::path> folders = distinct_adapters(job.manifest, job.adapter_of_task);
  const auto owners = comm::balance(file_sizes(comm, folders), comm.size());
  job.adapters = std::make_unique<AdapterStore>(
      comm, folders, owners, job.model->model.target_modules(), job.manifest.model);
  job.tasks = std::make_unique<TaskStore>(
      comm, job.manifest, job.model->encoding(), job.model->limits(),
      PackOptions{options.loss_on, options.batch_tokens}, options.ranks_per_node);
  comm::agree(comm, [&] { check_kept_examples(job, options.verify_examples); });
  return job;
}

}  // namespace d2c::driver
