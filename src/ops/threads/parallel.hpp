#pragma once

#include <type_traits>

#include "d2c/ops/thread_team.hpp"

namespace d2c::ops {

/// Calls body(i), or body(i, thread), for i in [0, n), on all threads of a team where `work` (in
/// the time of multiply-adds of the fastest loop) pays for sharing it. Iterations must write to
/// different places, and not throw.
template <class Body>
void parallel_for(ThreadTeam& threads, Index n, Index work, Body body) {
  constexpr Index worth_a_thread = 1'000'000;  // about 10 microseconds
  const auto call = [](Body& each, Index i, [[maybe_unused]] int thread) {
    if constexpr (std::is_invocable_v<Body&, Index, int>) {
      each(i, thread);
    } else {
      each(i);
    }
  };
  if (n < 2 || work < worth_a_thread || threads.size() == 1) {
    for (Index i = 0; i < n; ++i) call(body, i, 0);
    return;
  }
  const auto part = [](void* context, Index first, Index last, int thread) noexcept {
    Body& each = *static_cast<Body*>(context);
    for (Index i = first; i < last; ++i) decltype(call){}(each, i, thread);
  };
  threads.run(n, part, &body);
}

}  // namespace d2c::ops
