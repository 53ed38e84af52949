#include "panel/panel_kernel_body.hpp"
#include "vector_loops_body.hpp"

// 12 x 32: 24 of the 32 registers hold sums.
d2c::ops::VectorKernels d2c::ops::avx512_kernels() {
  return {multiply_all<16, 2, 12, float>, multiply_all<16, 2, 12, BFloat16>,
          Tile<16, 1, 12>::fma_chains, vector_loops};
}
