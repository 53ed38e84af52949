#pragma once

#include <filesystem>

namespace d2c {

/// Keeps a folder for one job: a file `d2c.lock` in it that names host, process and time, locked as
/// long as this object lives and then removed. A process that is killed leaves the file without the
/// lock, and the next one takes it over. Where the file system has no locks, only a process of this
/// host keeps others away.
class FolderLock {
 public:
  /// @throws InputError if another process has the folder; IoError
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;
  /// Whether the one before ended without giving the folder back.
  [[nodiscard]] bool was_abandoned() const { return was_abandoned_; }

 private:
  /// Whether the file that was opened is still the one with this name.
  [[nodiscard]] bool is_in_place() const;
  /// @param no_locks  the file system has none: what the file says counts
  void expect_free(bool no_locks) const;

  std::filesystem::path file_;
  int descriptor_ = -1;
  bool was_abandoned_ = false;
};

}  // namespace d2c
