#include "generate/authors.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"
#include "d2c/job/option_table.hpp"
#include "d2c/results/reader.hpp"

#include "input/earlier_result.hpp"
#include "output/merged_writer.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// What rank 0 finds out.
struct Found {
  std::string manifest;       ///< as text
  std::string config;         ///< options of the results; empty = there are none
  std::vector<int> clusters;  ///< [task]; empty likewise
};

Found find(const GenerateOptions& options) {
  Found found;
  if (options.source.empty()) {
    eval::Manifest manifest;
    manifest.model = options.model;
    eval::TaskSpec& task = manifest.tasks.emplace_back();
    task.name = options.examples.stem().string();
    // Without an adapter the base model writes alone, and this is not read.
    task.adapter = options.adapter.empty() ? options.model : options.adapter;
    task.examples = options.examples;
    found.manifest = to_json(manifest);
  } else if (is_result(options.source)) {
    const fs::path file = results::results_file(options.source);
    const results::RunResults result = results::read_results(file);
    found.config = result.provenance.config;
    found.clusters = result.result.assignment;
    found.manifest = to_json(manifest_of(options_from_json(found.config, file).manifest, result,
                                         "put it back, or make a link to its present place"));
  } else {
    found.manifest = to_json(eval::read_manifest(options.source));
  }
  return found;
}

Found shared(comm::Communicator& comm, const Found& found) {
  const json::Json all{
      {"manifest", found.manifest}, {"config", found.config}, {"clusters", found.clusters}};
  const json::Json value =
      json::Json::parse(comm::broadcast_text(comm, comm.is_root() ? all.dump() : "", 0));
  return {value["manifest"], value["config"], value["clusters"]};
}

/// Those that the user wants, of those that there are.
std::vector<std::string> wanted_adapters(const GenerateOptions& options, const Found& found) {
  std::vector<std::string> present{"base"};
  if (!options.source.empty() || !options.adapter.empty()) present.emplace_back("own");
  if (!found.clusters.empty()) present.emplace_back("clusters");
  if (options.adapters.empty()) return present;
  for (const std::string& name : options.adapters) {
    if (std::ranges::find(present, name) != present.end()) continue;
    throw UsageError({fmt::format("--adapters does not take '{}' here", name),
                      name == "clusters" ? "only a result has clusters" : "",
                      fmt::format("give some of {}", fmt::join(present, ", "))});
  }
  std::erase_if(present, [&](const std::string& name) {
    return std::ranges::find(options.adapters, name) == options.adapters.end();
  });
  return present;
}

/// @throws InputError if the merged adapters are not there as folders
void check_folders(const fs::path& file, const Found& found) {
  for (const int cluster : found.clusters) {
    const fs::path folder = file.parent_path() / "merged" / cluster_folder(ClusterId(cluster));
    if (fs::is_directory(folder)) continue;
    throw InputError({folder, {}}, {"is not there", "the merged adapter of a cluster is to write",
                                    "run the job with --merged peft or both, or leave clusters out "
                                    "of --adapters"});
  }
}

std::vector<Piece> pieces_of(const GenerateOptions& options, const GenerationSource& source,
                             const Found& found) {
  std::vector<Piece> pieces;
  for (const TaskId task : ids<TaskId>(static_cast<int>(source.manifest.tasks.size()))) {
    const eval::TaskSpec& spec = source.manifest.tasks[task.index()];
    for (const std::string& adapter : source.adapters) {
      if (adapter == "base") {
        pieces.push_back({task, {.name = adapter}});
      } else if (adapter == "own") {
        const std::string place =
            source.manifest.library.empty()
                ? spec.adapter.string()
                : source.manifest.library.string() + "::" + spec.adapter.string();
        pieces.push_back({task, {.name = adapter, .adapter = place}});
      } else {
        const std::string name = cluster_folder(ClusterId(found.clusters[task.index()]));
        const fs::path results = results::results_file(options.source).parent_path();
        pieces.push_back({task, {.name = name, .adapter = (results / "merged" / name).string()}});
      }
    }
  }
  return pieces;
}

/// The options of the results hold, but for those of the call.
RunOptions joined(const GenerateOptions& options, const std::string& config) {
  if (config.empty()) return options.call;
  RunOptions joined = options_from_json(config, options.source);
  for (const RunOption& row : option_table()) {
    const bool is_given = std::ranges::find(options.given, row.name) != options.given.end();
    if (!is_given && !row.has(traits::of_the_call)) continue;
    static_cast<void>(row.value.set(joined, row.value.text(options.call)));
  }
  return joined;
}

}  // namespace

bool is_result(const fs::path& source) {
  return source.extension() == ".h5" || is_present(source / "results.h5");
}

GenerationSource find_source(comm::Communicator& comm, const GenerateOptions& options) {
  Found found;
  comm::agree(comm, [&] {
    if (comm.is_root()) found = find(options);
  });
  found = shared(comm, found);
  GenerationSource source;
  comm::agree(comm, [&] {
    source.manifest = eval::parse_manifest(found.manifest, options.source);
    source.options = joined(options, found.config);
    source.adapters = wanted_adapters(options, found);
    if (source.adapters.back() == "clusters")
      check_folders(results::results_file(options.source), found);
    source.pieces = pieces_of(options, source, found);
  });
  return source;
}

}  // namespace d2c::job
