#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

namespace d2c {

/// A regular file mapped read-only.
class MappedFile {
 public:
  /// @throws InputError, IoError as InputFile
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

  /// Name of the mapped file that an address belongs to, as it is shown, or null. May be called in
  /// a signal handler: a page of a file that was truncated since raises SIGBUS.
  [[nodiscard]] static const char* holder(const void* address);

 private:
  std::string shown_as_;
  std::span<const std::byte> bytes_;
};

}  // namespace d2c
