#include "panel_kernel.hpp"

#include <algorithm>

#include "d2c/ops/aligned.hpp"

namespace d2c::ops {
namespace {

VectorKernels best_kernels() {
#ifdef D2C_OPS_AVX512
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return avx512_kernels();
  }
#endif
  return baseline_kernels();
}

}  // namespace

const VectorKernels& vector_kernels() {
  static const VectorKernels kernels = best_kernels();
  return kernels;
}

void multiply_panels(const PanelProduct& product) {
  const PanelKernel kernel = vector_kernels().multiply_block;
  thread_local AlignedFloats rows(static_cast<std::size_t>(block_rows * block_stride));

  PanelProduct block = product;
  block.a = rows.data();
  block.lda = block_stride;
  for (Index row = 0; row < product.m; row += block_rows) {
    block.m = std::min(block_rows, product.m - row);
    block.c = product.c + row * product.ldc;
    block.store = product.store;
    for (Index k = 0; k < product.k; k += block_depth) {
      block.k = std::min(block_depth, product.k - k);
      block.b = product.b + k * panel_width;
      for (Index i = 0; i < block.m; ++i) {
        std::copy_n(product.a + (row + i) * product.lda + k, block.k,
                    rows.data() + i * block_stride);
      }
      kernel(block);
      if (product.store == Store::overwrite) block.store = Store::extend;
    }
  }
}

}  // namespace d2c::ops
