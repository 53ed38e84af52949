#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace d2c {

/// Small text files that this process has got from another one: as long as an object of this class
/// lives, they are answered from memory and no file is opened. So a file that every rank needs is
/// read by one of them. At most one object at a time; not for use from several threads.
class KnownFiles {
 public:
  /// Path as it will be asked for, to its text; nothing = the file does not exist.
  using Texts = std::map<std::filesystem::path, std::optional<std::string>>;

  explicit KnownFiles(Texts texts);
  ~KnownFiles();
  KnownFiles(const KnownFiles&) = delete;
  KnownFiles& operator=(const KnownFiles&) = delete;

  /// What is known of a file; null = nothing.
  [[nodiscard]] static const std::optional<std::string>* find(const std::filesystem::path& file);
  /// Whether the file exists, by what is known or else by asking the file system.
  [[nodiscard]] static bool exists(const std::filesystem::path& file);

 private:
  Texts texts_;
};

}  // namespace d2c
