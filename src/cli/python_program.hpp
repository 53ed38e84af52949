#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace d2c::cli {

/// Becomes one of d2c's Python programs, whose exit code is then ours. The Python is D2C_PYTHON,
/// else the system's, else the first in PATH.
/// @param name  folder of the program: share/d2c/scripts/NAME, at the same place relative to d2c
///              where d2c is built and where it is installed
/// @throws IoError if there is no Python
[[noreturn]] void become_python(std::string_view name, const std::vector<std::string>& arguments);

}  // namespace d2c::cli
