#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>

namespace d2c {

/// What this thread is doing, for messages about failures that name no place themselves: no memory,
/// a signal, a bug. Activities nest; the innermost one counts.
class Activity {
 public:
  /// @param what  continues "while": "reading", "searching"
  explicit Activity(std::string_view what, const std::filesystem::path& file = {});
  ~Activity();
  Activity(const Activity&) = delete;
  Activity& operator=(const Activity&) = delete;

  /// " while reading FILE", or nothing. What an exception ended that was caught since counts before
  /// what is going on now.
  [[nodiscard]] static std::string at_failure();
  /// The same without the exception; may be called in a signal handler.
  [[nodiscard]] static const char* now();

 private:
  static constexpr std::size_t longest = 400;
  std::array<char, longest> text_{};  ///< ends with a zero
  const Activity* outer_;
  int exceptions_;  ///< under way when this began
};

}  // namespace d2c
