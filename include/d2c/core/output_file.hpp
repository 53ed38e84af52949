#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace d2c {

/// A file that appears under its name only when it is complete and on disk.
class OutputFile {
 public:
  /// @throws InputError
  explicit OutputFile(std::filesystem::path file);
  /// Removes what was written unless commit() was reached.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void append(std::span<const std::byte> bytes);
  /// Flushes to disk and renames.
  void commit();

 private:
  std::filesystem::path file_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

}  // namespace d2c
