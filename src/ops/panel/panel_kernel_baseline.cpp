#include "panel/panel_kernel_body.hpp"
#include "vector_loops_body.hpp"

// AVX2: 6 x 16 of the 16 registers hold sums. The same shape is sound on other instruction sets.
d2c::ops::VectorKernels d2c::ops::baseline_kernels() {
  return {multiply_all<8, 2, 6, float>, multiply_all<8, 2, 6, BFloat16>, Tile<8, 1, 12>::fma_chains,
          vector_loops};
}
