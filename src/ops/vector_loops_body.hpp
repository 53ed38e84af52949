#pragma once

#include "d2c/ops/exp.hpp"

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

constexpr VectorLoops vector_loops{gate_silu, largest_of, exponentials, sum_of_exponentials};

}  // namespace
}  // namespace d2c::ops
