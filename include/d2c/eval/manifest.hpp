#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace d2c::eval {

/// One task of a job. Paths are absolute or relative to the working directory.
struct TaskSpec {
  std::string name;
  std::filesystem::path adapter;   ///< PEFT folder, or name of an entry of the library
  std::filesystem::path examples;  ///< JSONL
  std::filesystem::path test;      ///< JSONL of held-out examples; empty = none
  double weight = 1.0;             ///< in the objective
};

/// What a job works on.
struct Manifest {
  std::filesystem::path model;    ///< Hugging Face folder
  std::filesystem::path library;  ///< file that holds the adapters; empty = each has a folder
  std::vector<TaskSpec> tasks;
};

/// Parses `{"model": DIR, "library"?: FILE, "tasks": [{"name", "adapter", "examples", "test"?,
/// "weight"?}]}`.
/// @param file  where the text is from: relative paths start at its folder
/// @throws InputError naming the field: unknown, missing or mistyped fields, no tasks, names that
/// repeat or that cannot name a file, weights that are not positive
[[nodiscard]] Manifest parse_manifest(const std::string& text, const std::filesystem::path& file);

/// A manifest by convention: `model`, `adapters/NAME`, `examples/NAME.jsonl`, `test/NAME.jsonl`
/// below one folder, tasks in the order of their names.
/// @throws InputError if a part is missing
[[nodiscard]] Manifest scan_folder(const std::filesystem::path& folder);

/// scan_folder for a folder without manifest.json, else parse_manifest.
[[nodiscard]] Manifest read_manifest(const std::filesystem::path& path);

/// The same content in the JSON form, paths made absolute.
[[nodiscard]] std::string to_json(const Manifest& manifest);

}  // namespace d2c::eval
