#include "output/output_folder.hpp"

#include <deque>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/pending.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

fs::path note_in(const fs::path& folder) { return folder / "d2c-publishing.json"; }

bool is_results_name(std::string_view name) { return place_of_partial(name) == "results.h5"; }
bool is_merged_name(std::string_view name) { return place_of_partial(name) == "merged"; }
bool is_old_name(std::string_view name) {
  constexpr std::string_view first = "merged.old";
  if (!name.starts_with(first)) return false;
  name.remove_prefix(first.size());
  return name.empty() || (name.size() > 1 && name.front() == '.' &&
                          name.find_first_not_of("0123456789", 1) == std::string_view::npos);
}

/// The place of a text file by the name of its partial file; nothing where d2c gives no such name.
std::optional<std::string_view> place_of_text(std::string_view partial) {
  const auto place = place_of_partial(partial);
  for (const std::string_view name : {"assignment.csv", "manifest.json", "routing.json"}) {
    if (place == name) return name;
  }
  return std::nullopt;
}

/// What is to be put in place. Renaming and removing follow it, so that a note with names that
/// publish() does not give is refused as a whole.
struct Note {
  fs::path results;
  std::optional<fs::path> merged;
  fs::path old_merged;
  std::vector<fs::path> texts;
};

Note read_note(const fs::path& folder) {
  const fs::path file = note_in(folder);
  const json::Json note = json::read_file(file);
  const auto refuse_key = [&](const char* key) {
    throw InputError({file, key},
                     {"is no name that d2c gives",
                      "the note tells what a job that was killed left to rename and to remove",
                      "remove the note if the files beside it are as they should be"});
  };
  const auto place = [&](const char* key, const json::Json& value, auto is_right) {
    if (!value.is_string() || !is_right(value.get_ref<const std::string&>())) refuse_key(key);
    return folder / value.get_ref<const std::string&>();
  };
  for (const char* key : {"results", "merged", "old_merged", "texts"}) {
    if (!note.is_object() || !note.contains(key)) refuse_key(key);
  }
  if (!note["texts"].is_array()) refuse_key("texts");
  Note read{.results = place("results", note["results"], is_results_name),
            .merged = std::nullopt,
            .old_merged = place("old_merged", note["old_merged"], is_old_name),
            .texts = {}};
  if (!note["merged"].is_null()) read.merged = place("merged", note["merged"], is_merged_name);
  for (const json::Json& text : note["texts"]) {
    read.texts.push_back(place("texts", text, place_of_text));
  }
  return read;
}

[[noreturn]] void refuse(const fs::path& place, const std::string& reason) {
  throw IoError({place},
                {"cannot be put in place", "the new result is complete beside it",
                 "mend that, and start a job in this folder: it finishes the replacement"},
                reason);
}

/// Renames unless that was done before.
void move(const fs::path& from, const fs::path& to) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(from, ignored))) return;
  try {
    put_in_place(from, to);
  } catch (const IoError& error) {
    refuse(to, error.reason());
  }
}

void discard(const fs::path& place) {
  std::error_code error;
  fs::remove_all(place, error);
  if (error) refuse(place, error.message());
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
  for (int i = 1; fs::exists(fs::symlink_status(folder / name)); ++i) {
    name = fmt::format("merged.old.{}", i);
  }
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
  for (const fs::path& text : note.texts) {
    move(text, folder / *place_of_text(text.filename().string()));
  }
  move(note.results, folder / "results.h5");
  discard(old);
  discard(note_file);
}

void finish_unlocked(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(note_in(folder), ignored)) return;
  const FolderLock lock(folder);
  finish_publishing(folder);
}

OutputFolder::OutputFolder(fs::path folder, bool overwrite)
    : folder_(std::move(folder)), overwrite_(overwrite) {}

std::string OutputFolder::merged_partial_name() const {
  return merged_ ? merged_->path().filename().string() : std::string();
}

void OutputFolder::prepare() {
  make_folder(folder_);
  lock_.emplace(folder_);
  expect_place_for_text(note_in(folder_));
  for (const char* name : {"results.h5", "assignment.csv", "manifest.json", "routing.json"}) {
    expect_no_folder(folder_ / name);
  }
  finish_publishing(folder_);
  remove_abandoned(folder_);
  if (const auto earlier = earlier_result(folder_); earlier && !overwrite_) {
    throw InputError({*earlier, {}},
                     {"exists already", "results of an earlier job are not overwritten unasked",
                      "choose another --output or add --overwrite"});
  }
  merged_.emplace(folder_ / "merged");
}

void OutputFolder::publish(results::ResultsWriter& writer, std::span<const std::string> merged,
                           std::span<const TextFile> texts) {
  if (const auto earlier = earlier_result(folder_); earlier && !overwrite_) {
    merged_->keep();
    const fs::path results = set_aside(writer.release());
    throw InputError({*earlier, {}},
                     {"was written by another job meanwhile", "it is not overwritten unasked",
                      fmt::format("the result of this job is in {} and {}", results.string(),
                                  set_aside(merged_->path()).string())});
  }
  for (const std::string& adapter : merged) {
    const fs::path file = merged_->path() / adapter / "adapter_config.json";
    std::error_code error;
    if (fs::exists(file, error)) continue;
    throw InputError({file, {}}, {"is gone", "without it the merged adapters are not whole",
                                  "run the job again, with nothing else that changes its folder"});
  }
  std::deque<PendingFile> new_texts;
  json::OrderedJson text_names = json::OrderedJson::array();
  for (const TextFile& text : texts) {
    PendingFile& file = new_texts.emplace_back(folder_ / text.name);
    file.append(text.text);
    file.sync();
    text_names.push_back(file.path().filename().string());
  }
  json::OrderedJson merged_name;  // null where there are none
  if (!merged.empty()) merged_name = merged_->path().filename().string();
  const json::OrderedJson note{{"results", writer.partial().filename().string()},
                               {"merged", merged_name},
                               {"old_merged", free_name(folder_)},
                               {"texts", text_names}};
  write_text(note_in(folder_), note.dump(2) + "\n");
  if (!merged.empty()) merged_->keep();
  for (PendingFile& text : new_texts) text.keep();
  writer.release();
  finish_publishing(folder_);
}

}  // namespace d2c::job
