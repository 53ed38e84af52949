#pragma once

#include <cmath>

#include "panel/lanes.hpp"

/// What norms and their derivatives ask of a row, in the same bits.
namespace d2c::ops {

[[nodiscard]] inline float mean(Index n, float sum) { return sum / static_cast<float>(n); }

/// 1 / sqrt(mean(x^2) + eps)
[[nodiscard, gnu::always_inline]] inline float inverse_rms(const float* x, Index n, float eps) {
  const float squares = sum_in_lanes(n, [&](Index i) { return x[i] * x[i]; });
  return 1.0F / std::sqrt(mean(n, squares) + eps);
}

struct Spread {
  float centre;             ///< mean(x)
  float inverse_deviation;  ///< 1 / sqrt(var(x) + eps)
};
[[nodiscard, gnu::always_inline]] inline Spread spread_of(const float* x, Index n, float eps) {
  const float centre = mean(n, sum_in_lanes(n, [&](Index i) { return x[i]; }));
  const float squares = sum_in_lanes(n, [&](Index i) {
    const float difference = x[i] - centre;
    return difference * difference;
  });
  return {centre, 1.0F / std::sqrt(mean(n, squares) + eps)};
}

}  // namespace d2c::ops
