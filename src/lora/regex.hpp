#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace d2c::lora {

/// A regular expression in the syntax of Python's re, run by PCRE2.
class Regex {
 public:
  /// @param file, field  where the expression stands, for messages
  /// @throws InputError if the expression is not valid or PCRE2 cannot match as Python does
  Regex(std::string_view pattern, const std::filesystem::path& file, std::string field);
  ~Regex();
  Regex(Regex&&) noexcept;

  /// re.fullmatch. @throws InputError if matching takes too many steps
  [[nodiscard]] bool matches(std::string_view text) const;
  /// Group 1 of re.match, if that matches.
  [[nodiscard]] std::optional<std::string> group_at_start(std::string_view text) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace d2c::lora
