#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "d2c/ops/threads.hpp"

namespace d2c::ops {

/// Threads that share the iterations of loops. One of its own, because a run-time system's threads
/// either spin while they wait, which costs minutes on processors that others use too, or must be
/// told not to before the program starts.
class ThreadTeam {
 public:
  using Body = void (*)(void* context, Index first, Index last);

  /// The team of this process.
  static ThreadTeam& instance();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;
  ~ThreadTeam();

  /// Threads of a loop that the calling thread begins, itself included.
  [[nodiscard]] int size() const;
  void resize(int n);
  /// Of the calling thread, within the loop that it shares: 0 is the caller's.
  [[nodiscard]] static int index();

  /// Calls body for parts of [0, n) that cover it, each once; returns when all are done. A loop
  /// within a loop, or beside that of another thread, is run by its caller alone.
  void run(Index n, Body body, void* context);
  /// See ops::side_by_side.
  void run_side_by_side(const std::function<void(int thread)>& body);

  void record(LoopTimes* times) { times_ = times; }

 private:
  ThreadTeam() = default;
  void start();
  void stop();
  void work_as(int index);
  [[nodiscard]] bool join();
  void leave();
  void take_iterations();
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
  int size_ = 1;
  std::vector<std::thread> others_;

  LoopTimes* times_ = nullptr;
  std::vector<double> seconds_;  ///< of each part, while times are recorded
};

}  // namespace d2c::ops
