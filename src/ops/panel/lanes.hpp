#pragma once

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// Sum of term(i) for i in [0, n) in an order that is written down here, so that it depends neither
/// on the compiler's vectorisation nor on the alignment of the data: 16 interleaved partial sums.
template <class Term>
[[nodiscard, gnu::always_inline]] inline float sum_in_lanes(Index n, Term term) {
  constexpr Index lanes = 16;
  float partial[lanes] = {};
  Index i = 0;
  for (; i + lanes <= n; i += lanes) {
#pragma omp simd
    for (Index l = 0; l < lanes; ++l) partial[l] += term(i + l);
  }
  for (Index l = 0; i < n; ++i, ++l) partial[l] += term(i);
  for (Index half = lanes / 2; half > 0; half /= 2) {
    for (Index l = 0; l < half; ++l) partial[l] += partial[l + half];
  }
  return partial[0];
}

/// Largest of x[0 .. n). @pre n > 0
[[nodiscard, gnu::always_inline]] inline float largest(const float* x, Index n) {
  float result = x[0];
#pragma omp simd reduction(max : result)
  for (Index i = 0; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

}  // namespace d2c::ops
