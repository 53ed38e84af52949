#pragma once

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// The derivative of z = cap tanh(x / cap) with respect to x, from z.
inline void cap_slopes(const float* z, Index n, float cap, float* slopes) {
  const float inverse = 1.0F / cap;
#pragma omp simd
  for (Index i = 0; i < n; ++i) slopes[i] = 1.0F - (z[i] * inverse) * (z[i] * inverse);
}

/// x *= factors
inline void multiply(const float* factors, Index n, float* x) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) x[i] *= factors[i];
}

}  // namespace d2c::ops
