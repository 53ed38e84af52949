#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

#include "d2c/core/writable_file.hpp"

namespace d2c::tools {

/// The records on their way to become a library. Unlike a PendingFile it has a name that the next
/// call knows, `OUTPUT.partial`, and stays if this one ends before all are packed.
class PartialLibrary {
 public:
  /// @throws InputError if the file is not an earlier call's or another process writes it, IoError
  explicit PartialLibrary(const std::filesystem::path& output);

  [[nodiscard]] const WritableFile& file() const { return file_; }
  [[nodiscard]] std::filesystem::path journal() const;
  /// Puts the file in its place. Call once, last. @throws IoError
  void publish();

 private:
  WritableFile file_;
};

}  // namespace d2c::tools
