#pragma once

namespace d2c::cli {

/// The program: finds the subcommand, runs it, prints errors as one line on standard error.
/// @return  the process's exit code (see ExitCode)
int main(int argc, char** argv);

}  // namespace d2c::cli
