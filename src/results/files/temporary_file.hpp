#pragma once

#include <filesystem>

namespace d2c::results {

/// A name beside `file`, unique per process, for the time it is being written. What is not
/// published is removed at the end of the scope.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& file);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Leaves the file where it is.
  void keep() { kept_ = true; }
  /// Flushes to the disk. @throws InputError
  void sync() const;
  /// Renames to the final name, and flushes the folder. @pre sync() was called
  void publish();

 private:
  std::filesystem::path file_;
  std::filesystem::path path_;
  bool kept_ = false;
};

}  // namespace d2c::results
