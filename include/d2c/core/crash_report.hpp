#pragma once

namespace d2c {

/// From now on a signal that ends the process (SIGBUS, SIGSEGV, SIGFPE, SIGILL) and an exception
/// that nobody can catch are told in one line before the process exits: with code 3 where a mapped
/// file was truncated, else with code 1.
/// @param who  stands before the line: "d2c: rank 3"; kept as it is by the caller, for ever
void report_crashes(const char* who);

/// Puts the system's handling of these signals back.
void leave_crashes_alone();

}  // namespace d2c
