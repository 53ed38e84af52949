#pragma once

#include <ctime>

namespace d2c {

/// Seconds of processor time that the calling thread has used: on a machine that is shared they are
/// steadier than those of a clock on the wall.
[[nodiscard]] inline double thread_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace d2c
