#include "d2c/core/signals.hpp"

#include <csignal>

namespace d2c {
namespace {

volatile std::sig_atomic_t stop_requested = 0;

void on_signal(int /*signal*/) { stop_requested = 1; }

}  // namespace

StopSignals::StopSignals() {
  stop_requested = 0;
  std::signal(SIGUSR1, on_signal);
  std::signal(SIGTERM, on_signal);
}

StopSignals::~StopSignals() {
  std::signal(SIGUSR1, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool StopSignals::requested() { return stop_requested != 0; }

}  // namespace d2c
