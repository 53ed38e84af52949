#include "panel/panel_kernel.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "d2c/ops/aligned.hpp"

namespace d2c::ops {
namespace {

VectorKernels best_kernels() {
#ifdef D2C_OPS_AVX512
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    VectorKernels kernels = avx512_kernels();
    if (__builtin_cpu_supports("avx512bf16")) kernels.bf16 = avx512_bf16_kernels();
    return kernels;
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

/// Memory of this thread for a block of A.
template <class Left>
Left* block_of_a() {
  thread_local std::vector<std::byte, AlignedAllocator<std::byte>> memory(
      static_cast<std::size_t>(block_rows * block_stride<float>) * sizeof(float));
  return reinterpret_cast<Left*>(memory.data());
}

/// @param copy  copies n values of a row into a block
template <class Value, class Left, class Copy>
void multiply_blocks(const PanelProduct<Value>& product, PanelKernel<Value, Left> kernel,
                     Copy copy) {
  Left* const rows = block_of_a<Left>();
  PanelProduct<Value, Left> block;
  block.n = product.n;
  block.a = rows;
  block.lda = block_stride<Left>;
  block.panel_stride = product.panel_stride;
  block.ldc = product.ldc;
  for (Index row = 0; row < product.m; row += block_rows) {
    block.m = std::min(block_rows, product.m - row);
    block.c = product.c + row * product.ldc;
    block.store = product.store;
    for (Index k = 0; k < product.k; k += block_depth) {
      block.k = std::min(block_depth, product.k - k);
      block.b = product.b + k * panel_width;
      for (Index i = 0; i < block.m; ++i) {
        copy(product.a + (row + i) * product.lda + k, block.k, rows + i * block.lda);
      }
      kernel(block);
      if (product.store == Store::overwrite) block.store = Store::extend;
    }
  }
}

/// A product with a thin B: copying A would take as long as a third of the product.
template <class Value>
void multiply_in_place(const PanelProduct<Value>& product, PanelKernel<Value> kernel) {
  // Where C is wide, few of its rows at a time.
  const Index rows_at_a_time = product.n <= thin ? block_rows : 2 * tile_rows;
  PanelProduct<Value> part = product;
  for (Index row = 0; row < product.m; row += rows_at_a_time) {
    part.m = std::min(rows_at_a_time, product.m - row);
    part.a = product.a + row * product.lda;
    part.c = product.c + row * product.ldc;
    kernel(part);
  }
}

}  // namespace

const VectorKernels& vector_kernels() { return kernels_in_use(); }

VectorKernels use_kernels(const VectorKernels& kernels) {
  return std::exchange(kernels_in_use(), kernels);
}

template <class Value>
void multiply_panels(const PanelProduct<Value>& product) {
  if (std::min(product.n, product.k) <= thin && product.k <= block_depth) {
    multiply_in_place(product, kernel_for<Value>());
    return;
  }
  multiply_blocks<Value, float>(
      product, kernel_for<Value>(),
      [](const float* from, Index n, float* to) { std::copy_n(from, n, to); });
}

template void multiply_panels(const PanelProduct<float>&);
template void multiply_panels(const PanelProduct<BFloat16>&);

void multiply_panels_in_bf16(const PanelProduct<BFloat16>& product) {
  const Bf16Kernels& kernels = vector_kernels().bf16;
  D2C_EXPECTS(kernels.multiply_block != nullptr);
  multiply_blocks<BFloat16, BFloat16>(product, kernels.multiply_block, kernels.round);
}

}  // namespace d2c::ops
