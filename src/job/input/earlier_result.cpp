#include "input/earlier_result.hpp"

#include <algorithm>
#include <set>
#include <string>

#include "d2c/core/error.hpp"

namespace d2c::job {

namespace fs = std::filesystem;

eval::Manifest manifest_of(const fs::path& path, const results::RunResults& result,
                           std::string_view remedy) {
  if (!fs::exists(path)) {
    throw InputError({path, {}},
                     {"is not there", "it names the tasks of the result", std::string(remedy)});
  }
  eval::Manifest manifest = eval::read_manifest(path);
  const std::set<std::string> skipped(result.skipped.task.begin(), result.skipped.task.end());
  std::erase_if(manifest.tasks,
                [&](const eval::TaskSpec& task) { return skipped.contains(task.name); });
  if (!std::ranges::equal(manifest.tasks, result.tasks.name, {}, &eval::TaskSpec::name)) {
    throw InputError({path, "tasks"},
                     {"are not the tasks of the result", "its clusters could not be told apart",
                      "use the manifest that the result was made with"});
  }
  return manifest;
}

}  // namespace d2c::job
