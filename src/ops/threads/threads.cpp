#include "d2c/ops/threads.hpp"

#include <algorithm>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

#include "threads/thread_team.hpp"

namespace d2c::ops {

void set_threads(int n) { ThreadTeam::instance().resize(n); }

int threads() { return ThreadTeam::instance().size(); }

void side_by_side(const std::function<void(int thread)>& body) {
  ThreadTeam::instance().run_side_by_side(body);
}

int usable_processors() {
#ifdef __linux__
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) return CPU_COUNT(&mask);
#endif
  return static_cast<int>(std::max(std::thread::hardware_concurrency(), 1U));
}

void record_loops(LoopTimes* times) { ThreadTeam::instance().record(times); }

}  // namespace d2c::ops
