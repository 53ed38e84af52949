#pragma once

#include "d2c/tensor/matrix.hpp"

#include "thread_team.hpp"

namespace d2c::ops {

/// Calls body(i) for i in [0, n), on all threads of the team where `work` (multiply-adds or the
/// like) pays for waking them. Iterations must write to different places, and not throw.
template <class Body>
void parallel_for(Index n, Index work, Body body) {
  constexpr Index worth_a_thread = 4'000'000;  // about 0.1 ms
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
