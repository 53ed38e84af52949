#include "d2c/ops/thread_team.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>

#ifdef __linux__
#include <sched.h>
#endif

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/error.hpp"

namespace d2c::ops {
namespace {

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until `value` is not `old`: looks for about as long as it takes to wake a thread, then
/// sleeps, so that a processor goes to whoever needs it.
std::uint32_t wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::microseconds patience{50};
  constexpr int looks = 64;  // between two looks at the clock
  const auto end = Clock::now() + patience;
  do {
    for (int i = 0; i < looks; ++i) {
      const std::uint32_t now = value.load(std::memory_order_acquire);
      if (now != old) return now;
      pause();
    }
  } while (Clock::now() < end);
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

ThreadTeam::ThreadTeam(int size) : size_(size) { D2C_EXPECTS(size >= 1); }

ThreadTeam::~ThreadTeam() {
  stopping_ = true;
  loops_begun_.fetch_add(1, std::memory_order_release);
  loops_begun_.notify_all();
  for (std::thread& other : others_) other.join();
}

/// Starts threads where they are missing: a process that never shares a loop has none.
void ThreadTeam::start() {
  while (std::ssize(others_) + 1 < size_) {
    const int thread = static_cast<int>(others_.size()) + 1;
    others_.emplace_back([this, thread] { work_as(thread); });
  }
}

void ThreadTeam::work_as(int thread) {
  for (std::uint32_t seen = 0;;) {
    seen = wait_for_change(loops_begun_, seen);
    if (stopping_) return;
    if (!join()) continue;
    take_iterations(thread);
    leave();
  }
}

/// Late threads find the loop closed, and nobody waits for them.
bool ThreadTeam::join() {
  std::uint32_t members = members_.load(std::memory_order_relaxed);
  while ((members & open) != 0) {
    if (members_.compare_exchange_weak(members, members + 1, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

void ThreadTeam::leave() {
  // Only the last one out of a closed loop is waited for.
  if (members_.fetch_sub(1, std::memory_order_acq_rel) == 1) members_.notify_one();
}

void ThreadTeam::take_iterations(int thread) {
  for (;;) {
    const Index first = next_.fetch_add(loop_.at_a_time, std::memory_order_relaxed);
    if (first >= loop_.n) return;
    const Index last = std::min(first + loop_.at_a_time, loop_.n);
    if (times_ == nullptr) {
      loop_.body(loop_.context, first, last, thread);
      continue;
    }
    const double start = thread_cpu_seconds();
    loop_.body(loop_.context, first, last, thread);
    seconds_[static_cast<std::size_t>(first / loop_.at_a_time)] = thread_cpu_seconds() - start;
  }
}

void ThreadTeam::wait_for_others() {
  std::uint32_t members = members_.fetch_and(~open, std::memory_order_acq_rel) & ~open;
  while (members != 0) members = wait_for_change(members_, members);
}

void ThreadTeam::run(Index n, Body body, void* context) {
  if (size_ == 1 || busy_.test_and_set(std::memory_order_acquire)) return body(context, 0, n, 0);
  start();
  // Several parts for each thread, because some start late, or share their processor.
  constexpr Index parts = 8;
  loop_ = {n, std::max(n / (parts * size_), Index{1}), body, context};
  next_.store(0, std::memory_order_relaxed);
  LoopTimes* times = times_;
  const double start = times == nullptr ? 0.0 : thread_cpu_seconds();
  if (times != nullptr) {
    seconds_.assign(static_cast<std::size_t>((n + loop_.at_a_time - 1) / loop_.at_a_time), 0.0);
  }
  members_.store(open, std::memory_order_release);
  loops_begun_.fetch_add(1, std::memory_order_release);
  loops_begun_.notify_all();
  const double awake = times == nullptr ? 0.0 : thread_cpu_seconds();
  take_iterations(0);
  wait_for_others();
  if (times != nullptr) add_times(start, awake);
  busy_.clear(std::memory_order_release);
}

void ThreadTeam::run_side_by_side(const std::function<void(int thread)>& body) {
  struct Call {
    const std::function<void(int)>& body;
    std::mutex mutex;
    std::exception_ptr error;
  } call{body, {}, nullptr};
  const auto part = [](void* context, Index first, Index last, int thread) noexcept {
    Call& shared = *static_cast<Call*>(context);
    try {
      for (Index i = first; i < last; ++i) shared.body(thread);
    } catch (...) {
      const std::scoped_lock lock(shared.mutex);
      if (shared.error == nullptr) shared.error = std::current_exception();
    }
  };
  run(size_, part, &call);
  if (call.error != nullptr) std::rethrow_exception(call.error);
}

/// @param start, awake  processor time of the caller before the loop, and before its iterations
void ThreadTeam::add_times(double start, double awake) {
  std::vector<double> busy(static_cast<std::size_t>(size_), 0.0);
  for (const double seconds : seconds_) {
    *std::ranges::min_element(busy) += seconds;
    times_->work += seconds;
  }
  ++times_->loops;
  times_->longest += *std::ranges::max_element(busy);
  times_->waking += awake - start;
  times_->caller += thread_cpu_seconds() - start;
}

int usable_processors() {
#ifdef __linux__
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) return CPU_COUNT(&mask);
#endif
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U));
}

}  // namespace d2c::ops
