#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace d2c {

/// Reads small text files: those that it knows from memory, the others from the disk. So a file
/// that every rank needs is read by one of them, who sends the others its text.
class FileTexts {
 public:
  /// Path as it will be asked for, to its text; nothing = the file does not exist.
  using Known = std::map<std::filesystem::path, std::optional<std::string>>;

  FileTexts() = default;
  explicit FileTexts(Known known);

  [[nodiscard]] bool exists(const std::filesystem::path& file) const;
  /// @throws InputError or IoError if it cannot be read
  [[nodiscard]] std::string read(const std::filesystem::path& file) const;
  /// Drops the text of a file that will not be asked for again, which may be large.
  void forget(const std::filesystem::path& file) { known_.erase(file); }

 private:
  Known known_;
};

}  // namespace d2c
