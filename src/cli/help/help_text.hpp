#pragma once

#include <string>
#include <string_view>

#include "command_line.hpp"

namespace d2c::cli {

/// The letter of an option that has one beside its name ("-o"), or 0.
[[nodiscard]] char short_form(std::string_view name);

/// "-o [ --output ] DIR"
[[nodiscard]] std::string spelling(const BoundOption& option);

/// What an option does and, in brackets, its default.
[[nodiscard]] std::string explanation(const BoundOption& option);

/// All options by group, as wide as the terminal.
[[nodiscard]] std::string full_help(const CommandLine& line);
/// The options that matter first.
[[nodiscard]] std::string short_help(const CommandLine& line);

}  // namespace d2c::cli
