#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "d2c/core/folder_lock.hpp"
#include "d2c/core/pending.hpp"
#include "d2c/results/writer.hpp"

namespace d2c::job {

/// A text file beside the results file: `assignment.csv`, `manifest.json` or `routing.json`.
struct TextFile {
  std::string name;
  std::string text;
};

/// The result of a job on its way into its folder: `results.h5`, `merged/` and text files.
/// Everything is made beside what is there under names with `.partial` that no other job has, and
/// takes the place of the old result only when all of it is complete and on the disk; what was not
/// published is removed. One job at a time has the folder (FolderLock).
///
/// From the first to the last rename a note, `d2c-publishing.json`, names what is to go where. A
/// job that ends meanwhile leaves it, and the next one in this folder does what is left to do:
/// until the new results file is in place the old result is whole (with `merged` under the name
/// that the note gives), and from then on the new one is.
class OutputFolder {
 public:
  OutputFolder(std::filesystem::path folder, bool overwrite);
  /// Finishes what an earlier job left, then makes room.
  /// @throws InputError if another job has the folder, if there are results that must not be
  /// overwritten, or if no folder can be made
  void prepare();
  [[nodiscard]] const std::filesystem::path& path() const { return folder_; }
  /// Name in path() of the folder where merged adapters are made; empty before prepare().
  [[nodiscard]] std::string merged_partial_name() const;

  /// Puts the new result in the place of the old one, of which nothing stays.
  /// @param writer    whose file is complete; it leaves it to this object
  /// @param merged    names of the merged adapters' folders; empty = there are none
  /// @param texts     one that is there and not among them stays
  /// @throws InputError, also if a merged adapter is not there
  void publish(results::ResultsWriter& writer, std::span<const std::string> merged,
               std::span<const TextFile> texts);

 private:
  std::filesystem::path folder_;
  bool overwrite_;
  std::optional<FolderLock> lock_;       ///< unset before prepare()
  std::optional<PendingFolder> merged_;  ///< unset before prepare()
};

/// Does what is left to do where a job ended while it replaced a result.
/// @throws InputError if that fails, or, before anything is touched, if the note names anything but
/// what publish() writes
/// @pre the folder is locked
void finish_publishing(const std::filesystem::path& folder);

/// The same for a folder that another job may have. @throws InputError also if one has it
void finish_unlocked(const std::filesystem::path& folder);

}  // namespace d2c::job
