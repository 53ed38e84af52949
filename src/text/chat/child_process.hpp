#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace d2c::text {

/// A program that answers lines with lines. It has one end of a socket as its standard input and
/// output, no other descriptor of ours, few variables of our environment and a process group of its
/// own, and is killed at the end of this object's life. It is started without a copy of this
/// process (posix_spawn), so that MPI's registered memory is left alone; a peer that is gone is an
/// error and never a signal.
class ChildProcess {
 public:
  /// @param arguments  the program, looked up in PATH if it has no slash, and its arguments
  /// @throws Error if the system starts no more processes
  explicit ChildProcess(const std::vector<std::string>& arguments);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  enum class Failure { none, ended, too_slow, too_long };
  struct Answer {
    std::string line;
    Failure failure = Failure::none;  ///< if any: the process is no longer of use
  };
  /// Sends `line` and waits for the answer, both without their newline.
  [[nodiscard]] Answer ask(std::string_view line, std::chrono::duration<double> patience,
                           std::size_t longest_answer);

 private:
  using Clock = std::chrono::steady_clock;
  [[nodiscard]] bool wait_until_ready(short events, Clock::time_point end) const;

  pid_t process_ = -1;  ///< -1: the program could not be started
  int socket_ = -1;
};

}  // namespace d2c::text
