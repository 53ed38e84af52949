#pragma once

#include <omp.h>

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// Calls body(i) for i in [0, n), on all OpenMP threads where `work` (multiply-adds or the like)
/// pays for waking them. Iterations must write to different places.
template <class Body>
void parallel_for(Index n, Index work, Body body) {
  constexpr Index worth_a_thread = 4'000'000;  // about 0.1 ms
  if (n < 2 || work < worth_a_thread || omp_get_max_threads() == 1) {
    for (Index i = 0; i < n; ++i) body(i);
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (Index i = 0; i < n; ++i) body(i);
}

}  // namespace d2c::ops
