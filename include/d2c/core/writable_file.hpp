#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "d2c/core/error.hpp"

namespace d2c {

/// A file open for writing. Every call checks what the system says and throws an IoError.
class WritableFile {
 public:
  /// What is said where the system refuses; its reason follows.
  struct Refusal {
    std::filesystem::path shown_as;  ///< the name that the user knows
    Message message = {"cannot be written", "",
                       "check the path, its permissions and the free space"};
  };

  /// @param flags  of open(2) besides those for writing; with O_CREAT what is there already must
  ///               be a regular file of this user under this name alone
  WritableFile(std::filesystem::path file, int flags, Refusal refusal);
  /// An existing file.
  explicit WritableFile(const std::filesystem::path& file) : WritableFile(file, 0, {file}) {}
  ~WritableFile();
  WritableFile(const WritableFile&) = delete;
  WritableFile& operator=(const WritableFile&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::filesystem::path& shown_as() const { return refusal_.shown_as; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] std::uint64_t size() const;
  void write(std::uint64_t begin, std::span<const std::byte> bytes) const;
  /// Writes behind what was appended last; with O_APPEND, behind all that is there.
  void append(std::span<const std::byte> bytes) const;
  void resize(std::uint64_t bytes) const;
  /// Flushes the content to the disk.
  void sync() const;
  /// Some file systems tell only here that a write has failed. Call last.
  void close();
  /// @throws IoError with the reason in errno
  [[noreturn]] void refuse() const;

 private:
  std::filesystem::path path_;
  Refusal refusal_;
  int descriptor_ = -1;
};

}  // namespace d2c
