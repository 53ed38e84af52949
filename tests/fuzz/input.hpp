#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::fuzz {

/// The content of a file that somebody else wrote, for one reader.
class Input {
 public:
  explicit Input(std::string_view content) : content_(content) {}

  [[nodiscard]] std::string_view text() const { return content_; }
  [[nodiscard]] std::vector<std::byte> bytes() const;
  /// Writes it where a reader takes a path. One folder serves all inputs of a process.
  [[nodiscard]] std::filesystem::path file(const std::string& name) const;
  /// The folder, emptied.
  [[nodiscard]] static std::filesystem::path empty_folder();

 private:
  std::string_view content_;
};

void write(const std::filesystem::path& file, std::string_view content);

/// A reader, and contents that it takes.
struct Target {
  std::string_view name;
  bool is_text = true;  ///< decides how it is mutated
  void (*read)(const Input& input) = nullptr;
  std::vector<std::string> (*seeds)() = nullptr;
};

[[nodiscard]] std::span<const Target> targets();

/// Lets a reader read. @return what it did that no reader may do: throw anything but an Error of
/// bad usage or bad input, or one whose message is more than a readable line. Empty = all is well
struct Outcome {
  bool accepted = false;
  std::string finding;
};
[[nodiscard]] Outcome try_reading(const Target& target, std::string_view content);

// One function per room.
[[nodiscard]] std::vector<Target> safetensors_targets();
[[nodiscard]] std::vector<Target> text_targets();
[[nodiscard]] std::vector<Target> model_targets();
[[nodiscard]] std::vector<Target> results_targets();
[[nodiscard]] std::vector<Target> job_targets();

}  // namespace d2c::fuzz
