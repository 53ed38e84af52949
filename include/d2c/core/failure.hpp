#pragma once

#include <string>

#include "d2c/core/error.hpp"

namespace d2c {

/// How a failure is told and how it ends the process.
struct Failure {
  ExitCode code;
  std::string line;
};

/// The exception that is being handled, whatever it is, in one line without the words of a library.
/// @pre called in a catch block
[[nodiscard]] Failure current_failure();

}  // namespace d2c
