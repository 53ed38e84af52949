#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "d2c/core/error.hpp"
#include "d2c/core/writable_file.hpp"

/// How every file and folder that d2c makes gets to its place: it is made beside it under a name
/// that nobody else has, `NAME.HOST-PID-START-SPACE-RANDOM.partial`, flushed to the disk, renamed,
/// and the rename is flushed too. So what has the final name is always whole. A process that is
/// killed leaves such files; the next one that makes a file for the same place removes them where
/// it is certain that their process has ended. Nothing is made through a link. Errors name the
/// final place.
namespace d2c {

/// A file on its way to its place.
class PendingFile {
 public:
  /// Makes an empty file beside `place`. @throws IoError
  explicit PendingFile(const std::filesystem::path& place);
  /// Removes the file unless it was published or kept.
  ~PendingFile();
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;

  [[nodiscard]] const std::filesystem::path& place() const { return file_.shown_as(); }
  /// Where the file is until it is published; others may write there.
  [[nodiscard]] const std::filesystem::path& path() const { return file_.path(); }
  /// A path to the same file for libraries that open files by name. It leads to no other one,
  /// whatever is done to the name.
  [[nodiscard]] std::filesystem::path alias() const;
  /// Writes behind what is there. @throws IoError
  void append(std::span<const std::byte> bytes);
  void append(std::string_view text) { append(std::as_bytes(std::span(text))); }
  /// Flushes the content to the disk, and reads back what was appended. @throws IoError
  void sync() const;
  /// The same, and puts the file in its place, where it replaces what was there. Call once, last.
  /// @throws IoError
  void publish();
  /// Leaves the file where it is, for what is renamed later.
  void keep() { kept_ = true; }

 private:
  /// Compares what the file holds with what was appended, if that is all that it holds.
  void read_back() const;

  WritableFile file_;
  std::uint64_t appended_ = 0;  ///< bytes
  std::uint32_t checksum_ = 0;  ///< of them
  bool kept_ = false;
};

/// The same for a folder.
class PendingFolder {
 public:
  /// Makes an empty folder beside `place`, and the folders above it. @throws IoError
  explicit PendingFolder(const std::filesystem::path& place);
  /// Removes the folder with all that is in it unless it was published or kept.
  ~PendingFolder();
  PendingFolder(const PendingFolder&) = delete;
  PendingFolder& operator=(const PendingFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Puts the folder in its place. Call once, last. @pre the files in it are on the disk
  /// @throws IoError, also if there is a folder that is not empty
  void publish();
  void keep() { kept_ = true; }

 private:
  std::filesystem::path place_;
  std::filesystem::path path_;
  bool kept_ = false;
};

/// For a file that does not hold what was written. @throws IoError
/// @param reason  what shows it
[[noreturn]] void refuse_lost_write(Where where, const std::string& reason);

/// The place of a file with the name of a partial one; nothing for other names.
[[nodiscard]] std::optional<std::string_view> place_of_partial(std::string_view name);

/// Removes the partial files and folders in a folder whose process has certainly ended.
void remove_abandoned(const std::filesystem::path& folder);

/// Renames a partial file or folder so that no later process removes it. @return its name now
[[nodiscard]] std::filesystem::path set_aside(const std::filesystem::path& partial);

/// Refuses a folder where a file is to be put in place, for those who put it there after much work.
/// @throws InputError
void expect_no_folder(const std::filesystem::path& place);

/// Refuses what write_text() would refuse in the end: a link, a folder, a name that is too long.
/// @throws InputError, IoError
void expect_place_for_text(const std::filesystem::path& place);

/// Puts a whole text file in its place. A pipe or device that is there is written to instead, also
/// by its names in /dev. @throws IoError; InputError if there is a folder or another link
void write_text(const std::filesystem::path& place, std::string_view text);

/// Makes a folder and those above it, where they are missing. @throws IoError
void make_folder(const std::filesystem::path& folder);

/// Renames a file or folder, whose content is on the disk, and flushes the new name. @throws
/// IoError
void put_in_place(const std::filesystem::path& from, const std::filesystem::path& place);

}  // namespace d2c
