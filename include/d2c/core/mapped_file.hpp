#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

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

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace d2c
