#include "output_folder.hpp"

#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/safetensors/output_file.hpp"

namespace d2c::driver {
namespace {

namespace fs = std::filesystem;

fs::path note_in(const fs::path& folder) { return folder / "d2c-publishing.json"; }
fs::path manifest_partial(const fs::path& folder) { return folder / "manifest.json.partial"; }

void write_text(const fs::path& file, const std::string& text) {
  safetensors::OutputFile out(file);
  out.append(std::as_bytes(std::span(text)));
  out.commit();
}

void refuse(const fs::path& place, const std::error_code& error) {
  if (!error) return;
  throw InputError(
      {place, {}},
      {"cannot be put in place: " + error.message(), "the new result is complete beside it",
       "mend that, and start a job in this folder: it finishes the replacement"});
}

/// Renames unless that was done before.
void move(const fs::path& from, const fs::path& to) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(from, error))) return;
  fs::rename(from, to, error);
  refuse(to, error);
}

/// What is there of an earlier result, if anything.
std::optional<fs::path> earlier_result(const fs::path& folder) {
  for (const char* name : {"results.h5", "merged"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return std::nullopt;
}

/// A name that the user has not taken.
std::string free_name(const fs::path& folder) {
  std::string name = "merged.old";
  for (int i = 1; fs::exists(folder / name); ++i) name = fmt::format("merged.old.{}", i);
  return name;
}

}  // namespace

void finish_publishing(const fs::path& folder) {
  const fs::path note_file = note_in(folder);
  std::error_code error;
  if (!fs::exists(note_file, error)) return;
  const json::Json note = json::read_file(note_file);
  // Names only: nothing outside the folder is touched.
  const auto place = [&](const char* key) {
    const auto value = note.find(key);
    if (value == note.end() || !value->is_string() ||
        value->get_ref<const std::string&>().find('/') != std::string::npos) {
      throw InputError({note_file, key},
                       {"is no name of a file", "it tells what a job that was killed left to do",
                        "remove it if the files beside it are as they should be"});
    }
    return folder / value->get<std::string>();
  };
  const fs::path old = place("old_merged");
  const fs::path results = place("results");
  const fs::path merged = folder / "merged";
  const fs::path partial = folder / "merged.partial";
  // The new adapters are in place once what they were made under is gone.
  if (!fs::exists(old) && (note.value("merged", false) ? fs::exists(partial) : fs::exists(results)))
    move(merged, old);
  if (note.value("merged", false)) move(partial, merged);
  if (note.value("manifest", false)) move(manifest_partial(folder), folder / "manifest.json");
  move(results, folder / "results.h5");
  fs::remove_all(old, error);
  refuse(old, error);
  fs::remove(note_file, error);
  refuse(note_file, error);
}

OutputFolder::OutputFolder(fs::path folder, bool overwrite)
    : folder_(std::move(folder)), overwrite_(overwrite) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (!prepared_ || noted_) return;
  fs::remove_all(merged_partial(), ignored);
  fs::remove(manifest_partial(folder_), ignored);
}

void OutputFolder::prepare() {
  finish_publishing(folder_);
  if (const auto earlier = earlier_result(folder_); earlier && !overwrite_) {
    throw InputError({*earlier, {}},
                     {"exists already", "results of an earlier job are not overwritten unasked",
                      "choose another --output or add --overwrite"});
  }
  std::error_code error;
  fs::remove_all(merged_partial(), error);
  fs::create_directories(merged_partial(), error);
  prepared_ = true;
  if (error) {
    throw InputError({folder_, {}}, {"cannot be made: " + error.message(),
                                     "the results need a place", "choose another --output"});
  }
}

void OutputFolder::publish(results::ResultsWriter& writer, bool merged,
                           const std::string& manifest) {
  if (const auto earlier = earlier_result(folder_); earlier && !overwrite_) {
    noted_ = true;
    const fs::path results = writer.release();
    throw InputError({*earlier, {}},
                     {"was written by another job meanwhile", "it is not overwritten unasked",
                      fmt::format("the result of this job is in {} and {}", results.string(),
                                  merged_partial().string())});
  }
  if (!manifest.empty()) write_text(manifest_partial(folder_), manifest + "\n");
  const json::OrderedJson note{{"results", writer.partial().filename().string()},
                               {"merged", merged},
                               {"old_merged", free_name(folder_)},
                               {"manifest", !manifest.empty()}};
  write_text(note_in(folder_), note.dump(2) + "\n");
  noted_ = true;
  writer.release();
  finish_publishing(folder_);
  std::error_code ignored;
  if (!merged) fs::remove_all(merged_partial(), ignored);
}

}  // namespace d2c::driver
