#pragma once

#include "exp.hpp"
#include "panel/lanes.hpp"
#include "vector_loops.hpp"

/// Bodies of the element-wise loops, for the same source files and under the same rule as
/// panel_kernel_body.hpp. The bits are those of every instruction set: multiply-adds are fused in
/// all of them, and sums have 16 lanes whatever the width of the vectors.
namespace d2c::ops {
namespace {

void gate_silu(float* gate, const float* up, Index n) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) gate[i] = gate[i] / (1.0F + fast_exp(-gate[i])) * up[i];
}

float largest_of(const float* x, Index n) { return largest(x, n); }

float exponentials(float* x, Index n, float maximum) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) x[i] = fast_exp(x[i] - maximum);
  return sum_in_lanes(n, [&](Index i) { return x[i]; });
}

float sum_of_exponentials(const float* x, Index n, float maximum) {
  return sum_in_lanes(n, [&](Index i) { return fast_exp(x[i] - maximum); });
}

/// tanh(x) to about 2 ulp. Source: Cephes' tanhf (Moshier).
[[gnu::always_inline]] inline float fast_tanh(float x) {
  const float magnitude = x < 0.0F ? -x : x;
  const float saturating = 1.0F - 2.0F / (fast_exp(2.0F * magnitude) + 1.0F);
  const float square = x * x;
  float p = -5.70498872745e-3F;
  p = p * square + 2.06390887954e-2F;
  p = p * square - 5.37397155531e-2F;
  p = p * square + 1.33314422036e-1F;
  p = p * square - 3.33332819422e-1F;
  const float near_zero = p * square * x + x;
  const float far = x < 0.0F ? -saturating : saturating;
  return magnitude < 0.625F ? near_zero : far;
}

void soft_cap(float* x, Index n, float cap) {
  const float inverse = 1.0F / cap;
#pragma omp simd
  for (Index i = 0; i < n; ++i) x[i] = cap * fast_tanh(x[i] * inverse);
}

constexpr VectorLoops vector_loops{gate_silu, largest_of, exponentials, sum_of_exponentials,
                                   soft_cap};

}  // namespace
}  // namespace d2c::ops
