#include "pack/request.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "d2c/core/error.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/model/model.hpp"

namespace d2c::tools {
namespace {

namespace fs = std::filesystem;

/// The last part of each folder, where they differ; else the whole paths.
/// @pre the paths end with a name
std::vector<std::string> names_of(const std::vector<fs::path>& folders) {
  std::vector<std::string> names;
  names.reserve(folders.size());
  for (const fs::path& folder : folders) {
    names.push_back(folder.filename().string());
  }
  if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  names.clear();
  for (const fs::path& folder : folders) names.push_back(folder.string());
  return names;
}

std::vector<fs::path> without_repeats(const std::vector<fs::path>& folders) {
  std::vector<fs::path> distinct;
  std::set<fs::path> seen;
  for (const fs::path& folder : folders) {
    fs::path normal = folder.lexically_normal();
    if (!normal.has_filename()) normal = normal.parent_path();
    if (seen.insert(normal).second) distinct.push_back(normal);
  }
  return distinct;
}

/// A name is shown in tables, and follows `LIBRARY::` where an adapter is asked for.
void check_name(const std::string& name, const fs::path& folder) {
  if (is_readable(name) && name.find("::") == std::string::npos) return;
  throw InputError({folder}, {"has a '::' or a character that is not shown in its name",
                              "the folder gives its name to the adapter", "rename the folder"});
}

bool is_adapter_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / "adapter_config.json", ignored);
}

}  // namespace

PackRequest read_request(const LibraryOptions& options) {
  PackRequest request;
  std::vector<fs::path> folders;
  request.model = options.model;
  if (options.inputs.size() == 1 && !is_adapter_folder(options.inputs.front())) {
    request.manifest = eval::read_manifest(options.inputs.front());
    if (!request.manifest->library.empty()) {
      throw InputError({options.inputs.front(), "library"},
                       {"is set: the adapters are in a library already", "",
                        "give a manifest whose adapters are folders"});
    }
    for (const eval::TaskSpec& task : request.manifest->tasks) folders.push_back(task.adapter);
    if (request.model.empty()) request.model = request.manifest->model;
  } else {
    folders = options.inputs;
  }
  folders = without_repeats(folders);
  const std::vector<std::string> names = names_of(folders);
  for (std::size_t i = 0; i < folders.size(); ++i) {
    check_name(names[i], folders[i]);
    request.entries.push_back({names[i], folders[i]});
  }
  if (!request.model.empty()) {
    request.modules = model::target_modules(model::read_config(request.model / "config.json"));
    std::ranges::sort(request.modules, {}, &lora::TargetModule::name);
  }
  if (request.manifest) {
    request.manifest->library = options.output;
    std::map<fs::path, std::string> name_of;
    for (const PackEntry& entry : request.entries) name_of.emplace(entry.folder, entry.name);
    for (eval::TaskSpec& task : request.manifest->tasks) {
      task.adapter = name_of.at(without_repeats({task.adapter}).front());
    }
  }
  return request;
}

}  // namespace d2c::tools
