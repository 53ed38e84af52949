#pragma once

#include <filesystem>
#include <string>

#include "d2c/results/writer.hpp"

namespace d2c::driver {

/// The result of a job on its way into its folder: `results.h5`, `merged/` and, where the job has
/// made one, `manifest.json`. Everything is made beside what is there under names with `.partial`,
/// and takes the place of the old result only when all of it is complete and on the disk.
///
/// From the first to the last rename a note, `d2c-publishing.json`, names what is to go where. A
/// job that ends meanwhile leaves it, and the next one in this folder does what is left to do:
/// until the new results file is in place the old result is whole (with `merged` under the name
/// that the note gives), and from then on the new one is.
class OutputFolder {
 public:
  OutputFolder(std::filesystem::path folder, bool overwrite);
  /// Removes what was not published.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Finishes what an earlier job left, then makes room.
  /// @throws InputError if there are results that must not be overwritten, or no folder can be made
  void prepare();
  [[nodiscard]] const std::filesystem::path& path() const { return folder_; }
  /// Where merged adapters are made.
  [[nodiscard]] std::filesystem::path merged_partial() const { return folder_ / "merged.partial"; }

  /// Puts the new result in the place of the old one, of which nothing stays.
  /// @param writer    whose file is complete; it leaves it to this object
  /// @param merged    whether there are merged adapters
  /// @param manifest  text of manifest.json; empty = none, and one that is there stays
  /// @throws InputError
  void publish(results::ResultsWriter& writer, bool merged, const std::string& manifest);

 private:
  std::filesystem::path folder_;
  bool overwrite_;
  bool prepared_ = false;
  bool noted_ = false;  ///< what is partial is kept
};

/// Does what is left to do where a job ended while it replaced a result. @throws InputError
void finish_publishing(const std::filesystem::path& folder);

}  // namespace d2c::driver
