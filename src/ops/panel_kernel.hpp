#pragma once

#include "d2c/ops/packed_matrix.hpp"
#include "d2c/tensor/matrix.hpp"

#include "vector_loops.hpp"

/// The inner loops of every matrix product in this module.
namespace d2c::ops {

inline constexpr Index panel_width = 16;  ///< columns of B stored side by side

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
template <class Value>
struct PanelProduct {
  Index m = 0;
  Index n = 0;
  Index k = 0;
  const float* a = nullptr;
  Index lda = 0;
  const Value* b = nullptr;
  Index panel_stride = 0;
  float* c = nullptr;
  Index ldc = 0;
  Store store = Store::overwrite;
};

/// Computes a product of any size, in blocks that stay in the caches. @tparam Value float, BFloat16
template <class Value>
void multiply_panels(const PanelProduct<Value>& product);

/// A kernel computes one block: k <= block_depth, lda = block_stride. The constant stride saves
/// address arithmetic; it is an odd number of cache lines, so that rows do not evict each other.
template <class Value>
using PanelKernel = void (*)(const PanelProduct<Value>&);
inline constexpr Index block_depth = 640;
inline constexpr Index block_stride = block_depth + panel_width;
inline constexpr Index block_rows = 264;  ///< 690 KB of A: stays in the second-level cache
inline constexpr Index tile_rows = 12;  ///< of the largest kernel; best divides the rows of a block

/// Independent chains of fused multiply-adds: how fast the processor can be.
struct FmaChains {
  float value = 0.0F;  ///< what they computed
  double flops = 0.0;
};

/// The loops that exist once per instruction set.
struct VectorKernels {
  PanelKernel<float> multiply_block;
  PanelKernel<BFloat16> multiply_bf16_block;
  FmaChains (*fma_chains)(Index steps, float start);
  VectorLoops loops;
};
[[nodiscard]] VectorKernels baseline_kernels();  ///< the build's -march
[[nodiscard]] VectorKernels avx512_kernels();    ///< x86-64-v4
/// Those in use: the best that this machine runs.
[[nodiscard]] const VectorKernels& vector_kernels();
/// For tests: uses others from now on. @return those used before
VectorKernels use_kernels(const VectorKernels& kernels);

}  // namespace d2c::ops
