#pragma once

#include "d2c/tensor/matrix.hpp"

#include "threads/thread_team.hpp"

namespace d2c::ops {

/// Calls body(i) for i in [0, n), on all threads of the team where `work` (in the time of
/// multiply-adds of the fastest loop) pays for sharing it. Iterations must write to different
/// places, and not throw.
template <class Body>
void parallel_for(Index n, Index work, Body body) {
  constexpr Index worth_a_thread = 1'000'000;  // about 10 microseconds
  ThreadTeam& team = ThreadTeam::instance();
  if (n < 2 || work < worth_a_thread || team.size() == 1) {
    for (Index i = 0; i < n; ++i) body(i);
    return;
  }
  const auto part = [](void* context, Index first, Index last) noexcept {
    Body& each = *static_cast<Body*>(context);
    for (Index i = first; i < last; ++i) each(i);
  };
  team.run(n, part, &body);
}

}  // namespace d2c::ops
