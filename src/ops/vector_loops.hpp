#pragma once

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// The element-wise loops that are worth wider vectors than the build's -march has.
struct VectorLoops {
  /// gate = silu(gate) * up
  void (*gate_silu)(float* gate, const float* up, Index n);
  /// Largest of x[0 .. n). @pre n > 0
  float (*largest)(const float* x, Index n);
  /// x = exp(x - maximum). @return the sum of the results
  float (*exponentials)(float* x, Index n, float maximum);
  /// Sum of exp(x - maximum).
  float (*sum_of_exponentials)(const float* x, Index n, float maximum);
  /// x = cap tanh(x / cap)
  void (*soft_cap)(float* x, Index n, float cap);
};

}  // namespace d2c::ops
