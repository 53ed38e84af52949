#include "d2c/core/crash_report.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <exception>

#include <sys/resource.h>
#include <unistd.h>

#include "d2c/core/activity.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/failure.hpp"
#include "d2c/core/mapped_file.hpp"

namespace d2c {
namespace {

#ifdef D2C_SANITIZED
constexpr bool is_sanitized = true;  // sanitizers have handlers of their own
#else
constexpr bool is_sanitized = false;
#endif

constexpr std::array crashes = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT};

const char* speaker = "d2c";
std::uintptr_t stack_begin = 0;
std::uintptr_t stack_bytes = 0;
alignas(
    16) std::array<char, 1 << 16> signal_stack;  ///< a handler has no other if the stack is full

/// A line made of parts, with what may be called in a signal handler.
class Line {
 public:
  Line& operator<<(const char* text) {
    for (; *text != '\0' && size_ + 1 < text_.size(); ++text) text_[size_++] = *text;
    return *this;
  }
  void print() {
    text_[size_++] = '\n';
    static_cast<void>(!::write(STDERR_FILENO, text_.data(), size_));
  }

 private:
  std::array<char, 2048> text_{};
  std::size_t size_ = 0;
};

/// Whether the address may belong to the main thread's stack.
bool is_on_stack(const void* address) {
  const auto there = reinterpret_cast<std::uintptr_t>(address);
  constexpr std::uintptr_t page = 1 << 16;
  return there < stack_begin && stack_begin - there < stack_bytes + page;
}

[[noreturn]] void end(Line& line, ExitCode code) {
  line.print();
  ::_exit(static_cast<int>(code));
}

void on_crash(int signal, siginfo_t* info, void* /*context*/) {
  Line line;
  line << speaker << ": ";
  if (const char* file = signal == SIGBUS ? MappedFile::holder(info->si_addr) : nullptr) {
    line << file
         << ": is shorter than when it was opened, or cannot be read any more (it is used while "
            "something changes it); restore it, and leave it alone while it is read";
    end(line, ExitCode::bad_input);
  }
  if (signal == SIGBUS) {
    line << "the system has no memory for a page" << Activity::now()
         << " (SIGBUS); free some of /dev/shm, or use fewer ranks per node";
  } else if (signal == SIGSEGV && is_on_stack(info->si_addr)) {
    line << "the stack is full" << Activity::now()
         << " (the input is nested too deeply); simplify the input, or raise `ulimit -s`";
  } else if (signal == SIGILL) {
    line << "the processor does not know an instruction" << Activity::now()
         << " (this build is for another kind); build d2c for this machine";
  } else if (signal == SIGABRT) {
    line << "a library has given up" << Activity::now()
         << " (memory was short or is damaged); give the job more memory, or report it with the "
            "command line";
  } else {
    line << (signal == SIGFPE ? "a division failed" : "memory was used that is not there")
         << Activity::now() << " (a bug of d2c); report it with the command line";
  }
  end(line, ExitCode::failure);
}

[[noreturn]] void on_terminate() {
  Line line;
  line << speaker << ": ";
  if (std::current_exception() != nullptr) {
    try {
      throw;
    } catch (...) {
      const Failure failure = current_failure();
      line << failure.line.c_str();
      end(line, failure.code);
    }
  }
  line << "the process was ended" << Activity::now()
       << " (a bug of d2c); report it with the command line";
  end(line, ExitCode::failure);
}

}  // namespace

void report_crashes(const char* who) {
  speaker = who;
  std::set_terminate(on_terminate);
  stack_begin = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  struct rlimit limit {};
  ::getrlimit(RLIMIT_STACK, &limit);
  stack_bytes = std::min<std::uintptr_t>(limit.rlim_cur, std::uintptr_t{1} << 30);
  if constexpr (is_sanitized) return;
  stack_t stack{};
  stack.ss_sp = signal_stack.data();
  stack.ss_size = signal_stack.size();
  ::sigaltstack(&stack, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND;
  for (const int signal : crashes) ::sigaction(signal, &action, nullptr);
}

void leave_crashes_alone() {
  for (const int signal : crashes) std::signal(signal, SIG_DFL);
}

}  // namespace d2c
