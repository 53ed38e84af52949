#include "output/output_folder.hpp"

#include <optional>
#include <random>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/output_file.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

fs::path note_in(const fs::path& folder) { return folder / "d2c-publishing.json"; }
std::string merged_name(const std::string& id) { return fmt::format("merged.{}.partial", id); }
std::string manifest_name(const std::string& id) {
  return fmt::format("manifest.json.{}.partial", id);
}

/// Sixteen hexadecimal digits that no other job has.
std::string random_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

constexpr std::string_view digits = "0123456789";
constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::string_view process_characters =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";

/// Whether `name` is prefix, one or more of `characters`, suffix.
bool is_named(std::string_view name, std::string_view prefix, std::string_view characters,
              std::string_view suffix) {
  if (name.size() <= prefix.size() + suffix.size() || !name.starts_with(prefix) ||
      !name.ends_with(suffix)) {
    return false;
  }
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  return name.find_first_not_of(characters) == std::string_view::npos;
}

bool is_results_name(std::string_view name) {
  return is_named(name, "results.h5.", process_characters, ".partial");
}
bool is_merged_name(std::string_view name) {
  return is_named(name, "merged.", hex_digits, ".partial");
}
bool is_manifest_name(std::string_view name) {
  return is_named(name, "manifest.json.", hex_digits, ".partial");
}
bool is_old_name(std::string_view name) {
  return name == "merged.old" || is_named(name, "merged.old.", digits, "");
}

/// What is to be put in place. Renaming and removing follow it, so that a note with names that
/// publish() does not give is refused as a whole.
struct Note {
  fs::path results;
  std::optional<fs::path> merged;
  fs::path old_merged;
  std::optional<fs::path> manifest;
};

Note read_note(const fs::path& folder) {
  const fs::path file = note_in(folder);
  const json::Json note = json::read_file(file);
  const auto place = [&](const char* key, bool (*is_right)(std::string_view),
                         bool may_be_null) -> std::optional<fs::path> {
    const auto value = note.find(key);
    if (may_be_null && value != note.end() && value->is_null()) return std::nullopt;
    if (value == note.end() || !value->is_string() ||
        !is_right(value->get_ref<const std::string&>())) {
      throw InputError({file, key},
                       {"is no name that d2c gives",
                        "the note tells what a job that was killed left to rename and to remove",
                        "remove the note if the files beside it are as they should be"});
    }
    return folder / value->get_ref<const std::string&>();
  };
  return {.results = *place("results", is_results_name, false),
          .merged = place("merged", is_merged_name, true),
          .old_merged = *place("old_merged", is_old_name, false),
          .manifest = place("manifest", is_manifest_name, true)};
}

void write_text(const fs::path& file, const std::string& text) {
  OutputFile out(file);
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
  const Note note = read_note(folder);
  const fs::path& old = note.old_merged;
  // The new adapters are in place once what they were made under is gone.
  if (!fs::exists(old) && fs::exists(note.merged ? *note.merged : note.results)) {
    move(folder / "merged", old);
  }
  if (note.merged) move(*note.merged, folder / "merged");
  if (note.manifest) move(*note.manifest, folder / "manifest.json");
  move(note.results, folder / "results.h5");
  fs::remove_all(old, error);
  refuse(old, error);
  fs::remove(note_file, error);
  refuse(note_file, error);
}

OutputFolder::OutputFolder(fs::path folder, bool overwrite)
    : folder_(std::move(folder)), overwrite_(overwrite) {}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  if (id_.empty() || noted_) return;
  fs::remove_all(merged_partial(), ignored);
  fs::remove(folder_ / manifest_name(id_), ignored);
}

std::string OutputFolder::merged_partial_name() const {
  return id_.empty() ? std::string() : merged_name(id_);
}

void OutputFolder::prepare() {
  finish_publishing(folder_);
  if (const auto earlier = earlier_result(folder_); earlier && !overwrite_) {
    throw InputError({*earlier, {}},
                     {"exists already", "results of an earlier job are not overwritten unasked",
                      "choose another --output or add --overwrite"});
  }
  std::error_code error;
  fs::create_directories(folder_, error);
  // A folder that is there already is another job's, which may be running.
  while (!error && id_.empty()) {
    std::string id = random_id();
    if (fs::create_directory(folder_ / merged_name(id), error)) id_ = std::move(id);
  }
  if (error) {
    throw InputError({folder_, {}}, {"cannot be made: " + error.message(),
                                     "the results need a place", "choose another --output"});
  }
}

void OutputFolder::publish(results::ResultsWriter& writer, std::span<const std::string> merged,
                           const std::string& manifest) {
  if (const auto earlier = earlier_result(folder_); earlier && !overwrite_) {
    noted_ = true;
    const fs::path results = writer.release();
    throw InputError({*earlier, {}},
                     {"was written by another job meanwhile", "it is not overwritten unasked",
                      fmt::format("the result of this job is in {} and {}", results.string(),
                                  merged_partial().string())});
  }
  for (const std::string& adapter : merged) {
    const fs::path file = merged_partial() / adapter / "adapter_config.json";
    std::error_code error;
    if (fs::exists(file, error)) continue;
    throw InputError({file, {}}, {"is gone", "without it the merged adapters are not whole",
                                  "run the job again, with nothing else that changes its folder"});
  }
  if (merged.empty()) fs::remove_all(merged_partial());
  const std::string manifest_partial = manifest_name(id_);
  if (!manifest.empty()) write_text(folder_ / manifest_partial, manifest + "\n");
  const auto name_or_null = [](bool is_there, const std::string& name) {
    return is_there ? json::OrderedJson(name) : json::OrderedJson();
  };
  const json::OrderedJson note{{"results", writer.partial().filename().string()},
                               {"merged", name_or_null(!merged.empty(), merged_partial_name())},
                               {"old_merged", free_name(folder_)},
                               {"manifest", name_or_null(!manifest.empty(), manifest_partial)}};
  write_text(note_in(folder_), note.dump(2) + "\n");
  noted_ = true;
  writer.release();
  finish_publishing(folder_);
}

}  // namespace d2c::job
