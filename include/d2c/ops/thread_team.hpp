#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// What loops that threads share took, in seconds of processor time.
struct LoopTimes {
  Index loops = 0;
  double caller = 0.0;   ///< of the calling thread in such loops, waking and waiting included
  double work = 0.0;     ///< of all iterations, by whichever thread
  double longest = 0.0;  ///< of the thread with most to do, if all were free: iterations are dealt
                         ///< out again, each to the thread that would be ready first
  double waking = 0.0;   ///< of the calling thread, until its first iteration
};

/// Threads that share the iterations of loops: every kernel is told which ones may help it.
///
/// Waiting threads look for work for some microseconds and then sleep, and a loop never waits for a
/// thread that has not begun: more threads than free processors cost little. (A run-time system's
/// threads either spin while they wait, which costs minutes on processors that others use too, or
/// must be told not to before the program starts.)
class ThreadTeam {
 public:
  /// Iterations [first, last), on the thread of the team with this index.
  using Body = void (*)(void* context, Index first, Index last, int thread);

  /// @param size  threads, the caller included; a team of one may be used by any threads at a time
  explicit ThreadTeam(int size = 1);
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;
  ~ThreadTeam();

  [[nodiscard]] int size() const { return size_; }

  /// Calls body for parts of [0, n) that cover it, each once; returns when all are done. Threads
  /// have the indices 0 (the caller) to size() - 1. A loop within a loop, or beside that of another
  /// thread, is run by its caller alone.
  void run(Index n, Body body, void* context);

  /// Calls body(thread) size() times, at the same time where threads are free. A thread that comes
  /// late may find its turn taken by another: `thread` tells who calls.
  /// @throws what a body threw, when all have ended
  void run_side_by_side(const std::function<void(int thread)>& body);

  /// Adds the times of loops from now on to `times`; null = no longer. Not while a loop runs.
  void record(LoopTimes* times) { times_ = times; }

 private:
  void start();
  void work_as(int thread);
  [[nodiscard]] bool join();
  void leave();
  void take_iterations(int thread);
  void wait_for_others();
  void add_times(double start, double awake);

  // A loop. Written while nobody has joined.
  struct Loop {
    Index n = 0;
    Index at_a_time = 0;
    Body body = nullptr;
    void* context = nullptr;
  };
  Loop loop_;
  std::atomic<Index> next_ = 0;  ///< first iteration that nobody has taken

  static constexpr std::uint32_t open = 1U << 31U;
  std::atomic<std::uint32_t> members_ = 0;  ///< threads in the loop besides the caller; `open`
                                            ///< while others may join
  std::atomic<std::uint32_t> loops_begun_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic_flag busy_;  ///< a loop is shared
  int size_;
  std::vector<std::thread> others_;

  LoopTimes* times_ = nullptr;
  std::vector<double> seconds_;  ///< of each part, while times are recorded
};

/// Processors that this process may run on: those of its affinity mask, as the launcher set it.
[[nodiscard]] int usable_processors();

}  // namespace d2c::ops
