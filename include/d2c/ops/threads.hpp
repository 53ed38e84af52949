#pragma once

#include <functional>

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// Threads that the kernels of this process use from now on, the caller included; 1 until then.
/// Waiting threads look for work for some microseconds and then sleep, and a loop never waits for a
/// thread that has not begun: more threads than free processors cost little.
/// @pre n >= 1, and no kernel is running
void set_threads(int n);

[[nodiscard]] int threads();

/// Calls body(thread) threads() times, at the same time where threads are free; `thread`, from 0 to
/// threads() - 1, tells who calls: the caller is 0, and a thread that comes late may find its turn
/// taken by another. Kernels that body runs use the thread that calls them alone.
/// @throws what a body threw, when all have ended
void side_by_side(const std::function<void(int thread)>& body);

/// Processors that this process may run on: those of its affinity mask, as the launcher set it.
[[nodiscard]] int usable_processors();

/// What loops that threads share took, in seconds of processor time.
struct LoopTimes {
  Index loops = 0;
  double caller = 0.0;   ///< of the calling thread in such loops, waking and waiting included
  double work = 0.0;     ///< of all iterations, by whichever thread
  double longest = 0.0;  ///< of the thread with most to do, if all were free: iterations are dealt
                         ///< out again, each to the thread that would be ready first
  double waking = 0.0;   ///< of the calling thread, until its first iteration
};

/// Adds the times of loops from now on to `times`; null = no longer. Not while a kernel is running.
void record_loops(LoopTimes* times);

}  // namespace d2c::ops
