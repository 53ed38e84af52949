#pragma once

#include "d2c/ops/packed_matrix.hpp"
#include "d2c/tensor/matrix.hpp"

#include "vector_loops.hpp"

/// The inner loops of every matrix product in this module.
namespace d2c::ops {

inline constexpr Index panel_width = 16;  ///< columns of B stored side by side
/// The next multiple of the width.
[[nodiscard]] inline Index in_whole_panels(Index n) {
  return (n + panel_width - 1) / panel_width * panel_width;
}

/// What happens to the old values of C.
enum class Store {
  overwrite,  ///< C = A B
  add,        ///< C = C + (A B)
  extend,     ///< as add, but C is the first term of each sum: a product split over k in this way
              ///< has the same bits as the whole
};

/// C [m, n] = A [m, k] B [k, n], with B in panels of 16 columns: B(i, j) is
/// b[(j / 16) * panel_stride + i * 16 + j % 16]; the last panel is complete in memory. BF16 panels
/// interleave rows i and i + 1 for even i: a register of 16 pairs gives both with one operation
/// each. A panel of them must start with an even row.
///
/// Each element of C is one chain of fused multiply-adds in ascending k, whatever the other sizes:
/// its bits do not depend on m, n, the position of the row or the width of the vectors.
/// @tparam Value  of B: float, BFloat16
/// @tparam Left   of A: float; BFloat16 in the blocks of BF16 arithmetic
template <class Value, class Left = float>
struct PanelProduct {
  Index m = 0;
  Index n = 0;
  Index k = 0;
  const Left* a = nullptr;
  Index lda = 0;
  const Value* b = nullptr;
  Index panel_stride = 0;
  float* c = nullptr;
  Index ldc = 0;
  Store store = Store::overwrite;
};

/// Computes a product of any size, in blocks that stay in the caches.
template <class Value>
void multiply_panels(const PanelProduct<Value>& product);

/// The same in BF16 arithmetic: A is rounded to BF16 (to nearest, ties to even), and a chain takes
/// two products at a time, that of the odd k first: c = fma(a_k, b_k, fma(a_k+1, b_k+1, c)), each
/// of the two rounded to nearest. Subnormal operands and results count as zero. Source: VDPBF16PS
/// and VCVTNE2PS2BF16 in the Intel 64 Software Developer's Manual, volume 2C.
/// @pre vector_kernels().bf16.multiply_block is not null
void multiply_panels_in_bf16(const PanelProduct<BFloat16>& product);

/// A kernel computes one block: k <= block_depth, lda = block_stride. The constant stride saves
/// address arithmetic; it is an odd number of cache lines, so that rows do not evict each other.
/// With any other lda, float A is read where it is.
template <class Value, class Left = float>
using PanelKernel = void (*)(const PanelProduct<Value, Left>&);
inline constexpr Index block_depth = 640;
/// Elements from row to row of a block of A, of which the last cache line is padding.
template <class Left>
inline constexpr Index block_stride = block_depth + 64 / static_cast<Index>(sizeof(Left));
inline constexpr Index block_rows = 264;  ///< 690 KB of A: stays in the second-level cache
inline constexpr Index tile_rows = 12;  ///< of the largest kernel; best divides the rows of a block

/// A product with so few columns, or so few rows of B (LoRA), is bound by the memory of A or C.
inline constexpr Index thin = 64;

/// Independent chains of multiply-adds: how fast the processor can be.
struct FmaChains {
  float value = 0.0F;  ///< what they computed
  double flops = 0.0;
};

/// The loops of BF16 arithmetic; all null where the processor has none.
struct Bf16Kernels {
  PanelKernel<BFloat16, BFloat16> multiply_block = nullptr;
  /// Rounds n <= block_depth values; writes zeros up to the next multiple of 32.
  void (*round)(const float* from, Index n, BFloat16* to) = nullptr;
  FmaChains (*chains)(Index steps, float start) = nullptr;
};

/// The loops that exist once per instruction set.
struct VectorKernels {
  PanelKernel<float> multiply_block;
  PanelKernel<BFloat16> multiply_bf16_block;
  FmaChains (*fma_chains)(Index steps, float start);
  VectorLoops loops;
  Bf16Kernels bf16 = {};
};
[[nodiscard]] VectorKernels baseline_kernels();   ///< the build's -march
[[nodiscard]] VectorKernels avx512_kernels();     ///< x86-64-v4
[[nodiscard]] Bf16Kernels avx512_bf16_kernels();  ///< x86-64-v4 and AVX512_BF16
/// Those in use: the best that this machine runs.
[[nodiscard]] const VectorKernels& vector_kernels();
/// For tests: uses others from now on. @return those used before
VectorKernels use_kernels(const VectorKernels& kernels);

}  // namespace d2c::ops
