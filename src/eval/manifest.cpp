#include "d2c/eval/manifest.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <map>
#include <string_view>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/input_file.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/readable.hpp"

namespace d2c::eval {
namespace {

namespace fs = std::filesystem;
using json::Json;

void refuse_unknown_fields(const Json& object, std::initializer_list<std::string_view> known,
                           const fs::path& file, const std::string& item) {
  for (const auto& [key, value] : object.items()) {
    if (!value.is_null() && std::find(known.begin(), known.end(), key) == known.end()) {
      throw InputError({file, item + key}, {"is not a field of a manifest",
                                            "a misspelt field would be ignored silently",
                                            fmt::format("known are: {}", fmt::join(known, ", "))});
    }
  }
}

/// Whether the object has the field; null counts as absent.
bool has(const Json& object, const char* field) {
  const auto member = object.find(field);
  return member != object.end() && !member->is_null();
}

std::string text_field(const Json& object, const char* field, const fs::path& file,
                       const std::string& item) {
  if (!has(object, field)) {
    throw InputError({file, item + field}, {"is missing", "", "add it"});
  }
  if (!object[field].is_string() || object[field].get<std::string>().empty()) {
    throw InputError({file, item + field}, {"is not a text", "", "write a non-empty JSON string"});
  }
  return object[field].get<std::string>();
}

std::string path_field(const Json& object, const char* field, const fs::path& file,
                       const std::string& item) {
  std::string path = text_field(object, field, file, item);
  if (path.find('\0') == std::string::npos) return path;
  throw InputError({file, item + field},
                   {"has a NUL character", "no file is called so", "remove it"});
}

TaskSpec parse_task(const Json& value, const fs::path& folder, const fs::path& adapters,
                    const fs::path& file, std::size_t index) {
  const std::string task_item = fmt::format("tasks[{}]", index);
  const std::string item = task_item + ".";
  if (!value.is_object()) {
    throw InputError({file, task_item},
                     {"is not an object", "", "write {\"name\", \"adapter\", \"examples\"}"});
  }
  refuse_unknown_fields(value, {"name", "adapter", "examples", "test", "weight"}, file, item);
  TaskSpec task;
  task.name = text_field(value, "name", file, item);
  task.adapter = adapters / path_field(value, "adapter", file, item);
  task.examples = folder / path_field(value, "examples", file, item);
  if (has(value, "test")) {
    task.test = folder / path_field(value, "test", file, item);
  }
  if (has(value, "weight")) {
    task.weight = value["weight"].is_number() ? value["weight"].get<double>() : -1.0;
    if (!std::isfinite(task.weight) || task.weight <= 0) {
      throw InputError({file, item + "weight"},
                       {"is not a positive number", "it scales the task's part of the objective",
                        "give a number above 0, or leave it out for 1"});
    }
  }
  return task;
}

/// A task gives its name to files, and to rows of tables.
void check_name(const std::string& name, const fs::path& file, const std::string& item) {
  constexpr std::size_t longest = 255 - std::string_view(".jsonl").size();
  std::string trouble;
  if (name.find_first_of("/|") != std::string::npos || !is_readable(name)) {
    trouble = "has a '/', a '|' or a character that is not shown";
  } else if (name.starts_with('.')) {
    trouble = "begins with a '.'";
  } else if (name.size() > longest) {
    trouble = fmt::format("has {} bytes, more than {}", name.size(), longest);
  }
  if (trouble.empty()) return;
  throw InputError({file, item},
                   {fmt::format("'{}' {}", name, trouble),
                    "a task gives its name to files and to rows of tables", "rename the task"});
}

void check_tasks(const Manifest& manifest, const fs::path& file) {
  if (manifest.tasks.empty()) {
    throw InputError({file, "tasks"},
                     {"is empty", "there is nothing to cluster", "name at least one task"});
  }
  std::map<std::string, std::size_t> first;
  for (std::size_t i = 0; i < manifest.tasks.size(); ++i) {
    check_name(manifest.tasks[i].name, file, fmt::format("tasks[{}].name", i));
    const auto [place, fresh] = first.emplace(manifest.tasks[i].name, i);
    if (!fresh) {
      throw InputError(
          {file, fmt::format("tasks[{}].name", i)},
          {fmt::format("'{}' is also the name of tasks[{}]", place->first, place->second),
           "names identify tasks in the results", "rename one of them"});
    }
  }
}

/// Sorted names of the entries of a folder, without the ending `suffix`.
std::vector<std::string> entries(const fs::path& folder, const std::string& suffix) {
  std::error_code error;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !name.ends_with(suffix)) continue;
    names.push_back(name.substr(0, name.size() - suffix.size()));
  }
  if (error) {
    throw IoError(
        {folder},
        {"cannot be listed", "a job folder holds model, adapters/NAME and examples/NAME.jsonl",
         "check the path, or give a manifest file"},
        error.message());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

Manifest parse_manifest(const std::string& text, const fs::path& file) {
  const Json value = json::parse(text, file);
  if (!value.is_object()) {
    throw InputError({file, {}},
                     {"is not a JSON object", "", "write {\"model\": ..., \"tasks\": [...]}"});
  }
  refuse_unknown_fields(value, {"model", "library", "tasks"}, file, "");
  const fs::path folder = file.parent_path();
  Manifest manifest;
  manifest.model = folder / path_field(value, "model", file, "");
  if (has(value, "library")) manifest.library = folder / path_field(value, "library", file, "");
  if (!value.contains("tasks") || !value["tasks"].is_array()) {
    throw InputError({file, "tasks"}, {"is missing or not a list", "", "list the tasks"});
  }
  for (const Json& task : value["tasks"]) {
    manifest.tasks.push_back(parse_task(task, folder, manifest.library.empty() ? folder : "", file,
                                        manifest.tasks.size()));
  }
  check_tasks(manifest, file);
  return manifest;
}

Manifest scan_folder(const fs::path& folder) {
  Manifest manifest;
  manifest.model = folder / "model";
  for (const std::string& name : entries(folder / "examples", ".jsonl")) {
    TaskSpec task{
        name, folder / "adapters" / name, folder / "examples" / (name + ".jsonl"), {}, 1.0};
    const fs::path test = folder / "test" / (name + ".jsonl");
    if (is_present(test)) task.test = test;
    manifest.tasks.push_back(std::move(task));
  }
  check_tasks(manifest, folder);
  return manifest;
}

Manifest read_manifest(const fs::path& path) {
  if (!fs::is_directory(path)) return parse_manifest(json::read_text(path), path);
  const fs::path file = path / "manifest.json";
  return is_present(file) ? parse_manifest(json::read_text(file), file) : scan_folder(path);
}

std::string to_json(const Manifest& manifest) {
  const auto absolute = [](const fs::path& path) { return fs::absolute(path).string(); };
  json::OrderedJson value;
  value["model"] = absolute(manifest.model);
  if (!manifest.library.empty()) value["library"] = absolute(manifest.library);
  value["tasks"] = json::OrderedJson::array();
  for (const TaskSpec& task : manifest.tasks) {
    json::OrderedJson entry;
    entry["name"] = task.name;
    entry["adapter"] = manifest.library.empty() ? absolute(task.adapter) : task.adapter.string();
    entry["examples"] = absolute(task.examples);
    if (!task.test.empty()) entry["test"] = absolute(task.test);
    entry["weight"] = task.weight;
    value["tasks"].push_back(std::move(entry));
  }
  return value.dump(1);
}

}  // namespace d2c::eval
