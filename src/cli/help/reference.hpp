#pragma once

#include <string>

#include "command_line.hpp"

namespace d2c::cli {

/// All commands with their options, from the same tables as the help texts.

/// The manual page d2c(1), in roff.
[[nodiscard]] std::string manual_page();

/// Completion of commands, options and the words that options take, for bash.
[[nodiscard]] std::string bash_completion();

}  // namespace d2c::cli
