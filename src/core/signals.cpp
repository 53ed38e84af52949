#include "d2c/core/signals.hpp"

#include <csignal>

namespace d2c {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

void on_signal(int signal) {
  stop_requested = 1;
  // Whoever presses the keys again does not want to wait.
  if (signal == SIGINT) std::signal(SIGINT, SIG_DFL);
}

}  // namespace

StopSignals::StopSignals() {
  stop_requested = 0;
  std::signal(SIGUSR1, on_signal);
  std::signal(SIGTERM, on_signal);
  std::signal(SIGINT, on_signal);
}

StopSignals::~StopSignals() {
  std::signal(SIGUSR1, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
}

bool StopSignals::requested() { return stop_requested != 0; }

}  // namespace d2c
