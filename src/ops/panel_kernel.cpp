#include "panel_kernel.hpp"

#include <algorithm>
#include <utility>

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

VectorKernels& kernels_in_use() {
  static VectorKernels kernels = best_kernels();
  return kernels;
}

template <class Value>
PanelKernel<Value> kernel_for();
template <>
PanelKernel<float> kernel_for() {
  return vector_kernels().multiply_block;
}
template <>
PanelKernel<BFloat16> kernel_for() {
  return vector_kernels().multiply_bf16_block;
}

}  // namespace

const VectorKernels& vector_kernels() { return kernels_in_use(); }

VectorKernels use_kernels(const VectorKernels& kernels) {
  return std::exchange(kernels_in_use(), kernels);
}

template <class Value>
void multiply_panels(const PanelProduct<Value>& product) {
  const PanelKernel<Value> kernel = kernel_for<Value>();
  thread_local AlignedFloats rows(static_cast<std::size_t>(block_rows * block_stride));

  // Where B is so small that it stays in a cache by itself, blocks of A stay in the first level,
  // and C is written along its rows.
  constexpr Index thin = 64;
  const bool is_thin = product.n <= thin || product.k <= thin;
  const Index rows_at_a_time = is_thin ? tile_rows : block_rows;
  PanelProduct<Value> block = product;
  block.a = rows.data();
  block.lda = block_stride;
  for (Index row = 0; row < product.m; row += rows_at_a_time) {
    block.m = std::min(rows_at_a_time, product.m - row);
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

template void multiply_panels(const PanelProduct<float>&);
template void multiply_panels(const PanelProduct<BFloat16>&);

}  // namespace d2c::ops
