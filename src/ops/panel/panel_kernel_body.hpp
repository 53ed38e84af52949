#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "panel/panel_kernel.hpp"

// Without it GCC keeps the sums of a tile in memory before and after the loop over k, which costs
// as much as the products of 8 columns of A.
#ifdef __clang__
#define D2C_UNROLLED _Pragma("unroll")
#else
#define D2C_UNROLLED _Pragma("GCC unroll 16")
#endif

/// Body of the kernels. Included by one source file per instruction set, each compiled with its own
/// -march: everything is in an unnamed namespace, so that no wide instruction leaks out by linking.
namespace d2c::ops {
namespace {

/// Where the rows of A are.
enum class Reading {
  block,     ///< in a block: from row to row the constant block_stride, which saves arithmetic
  in_place,  ///< from row to row lda
};

/// @tparam width    floats in a vector register
/// @tparam vectors  vector registers side by side in a tile of C; their columns fill whole panels
/// @tparam rows     rows of a tile of C
/// @tparam reading  of A
template <int width, int vectors, int rows, Reading reading = Reading::block>
struct Tile {
  using Vector [[gnu::vector_size(width * sizeof(float))]] = float;
  using Pairs [[gnu::vector_size(width * sizeof(float))]] = std::uint32_t;  ///< of BF16 values
  static constexpr int columns = width * vectors;
  static constexpr Index step = width;  // from vector to vector, for address arithmetic

  static Vector load(const float* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  static void store(float* to, Vector value) { std::memcpy(to, &value, sizeof value); }
  static Pairs load_pairs(const BFloat16* from) {
    Pairs value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  static Vector first_of(Pairs pairs) {
    pairs <<= 16U;
    Vector value;
    std::memcpy(&value, &pairs, sizeof value);
    return value;
  }
  static Vector second_of(Pairs pairs) {
    pairs &= 0xFFFF0000U;
    Vector value;
    std::memcpy(&value, &pairs, sizeof value);
    return value;
  }

  using Sums = Vector[rows][vectors];

  template <class Left>
  static Index row_step(Index lda) {
    return reading == Reading::in_place ? lda : block_stride<Left>;
  }

  /// sum += a[:, k] right, one step of all chains.
  static void step_chains(Sums& sum, const float* a, Index lda, const Vector (&right)[vectors]) {
    D2C_UNROLLED
    for (int i = 0; i < rows; ++i) {
      const float left = a[i * lda];
      D2C_UNROLLED
      for (int v = 0; v < vectors; ++v) sum[i][v] += left * right[v];
    }
  }

  template <bool fetch_ahead>
  static void run_chains(Sums& sum, const PanelProduct<float>& p, const float* a, const float* b,
                         [[maybe_unused]] const float* ahead) {
    for (Index k = 0; k < p.k; ++k) {
      if constexpr (fetch_ahead) __builtin_prefetch(ahead + k * panel_width);
      Vector right[vectors];
      for (int v = 0; v < vectors; ++v) {
        const int column = v * width;
        right[v] = load(b + (column / panel_width) * p.panel_stride + k * panel_width +
                        column % panel_width);
      }
      step_chains(sum, a + k, row_step<float>(p.lda), right);
    }
  }

  template <bool fetch_ahead>
  static void run_chains(Sums& sum, const PanelProduct<BFloat16>& p, const float* a,
                         const BFloat16* b, [[maybe_unused]] const BFloat16* ahead) {
    for (Index k = 0; k < p.k; k += 2) {
      if constexpr (fetch_ahead) __builtin_prefetch(ahead + k * panel_width);
      Pairs pairs[vectors];
      Vector right[vectors];
      for (int v = 0; v < vectors; ++v) {
        const int column = v * width;
        pairs[v] = load_pairs(b + (column / panel_width) * p.panel_stride + k * panel_width +
                              2 * (column % panel_width));
        right[v] = first_of(pairs[v]);
      }
      step_chains(sum, a + k, row_step<float>(p.lda), right);
      if (k + 1 == p.k) return;
      for (int v = 0; v < vectors; ++v) right[v] = second_of(pairs[v]);
      step_chains(sum, a + k + 1, row_step<float>(p.lda), right);
    }
  }

#ifdef __AVX512BF16__
  static Pairs all(std::uint32_t pair) { return Pairs{} + pair; }

  /// sum += left right, a pair of products in each lane.
  static Vector add_pairs(Vector sum, Pairs left, Pairs right) {
    __m512 c;
    __m512bh a;
    __m512bh b;
    std::memcpy(&c, &sum, sizeof c);
    std::memcpy(&a, &left, sizeof a);
    std::memcpy(&b, &right, sizeof b);
    c = _mm512_dpbf16_ps(c, a, b);
    std::memcpy(&sum, &c, sizeof c);
    return sum;
  }

  template <bool fetch_ahead>
  static void run_chains(Sums& sum, const PanelProduct<BFloat16, BFloat16>& p, const BFloat16* a,
                         const BFloat16* b, [[maybe_unused]] const BFloat16* ahead) {
    for (Index k = 0; k < p.k; k += 2) {
      if constexpr (fetch_ahead) __builtin_prefetch(ahead + k * panel_width);
      Pairs right[vectors];
      for (int v = 0; v < vectors; ++v) {
        right[v] = load_pairs(b + v * p.panel_stride + k * panel_width);
      }
      D2C_UNROLLED
      for (int i = 0; i < rows; ++i) {
        std::uint32_t pair;
        std::memcpy(&pair, a + i * block_stride<BFloat16> + k, sizeof pair);
        const Pairs left = all(pair);
        D2C_UNROLLED
        for (int v = 0; v < vectors; ++v) sum[i][v] = add_pairs(sum[i][v], left, right[v]);
      }
    }
  }

  /// As fma_chains; it takes 16 chains to hide the latency. Each pair adds two products that
  /// cancel, so that sums stay what they were; the chains start differently, or the compiler could
  /// take them for one.
  static FmaChains bf16_chains(Index steps, float start) {
    constexpr int chains = rows * vectors;
    Vector sum[chains];
    for (int c = 0; c < chains; ++c) sum[c] = Vector{} + start * static_cast<float>(c + 1);
    const Pairs left = all(0x3F803F80U);   // 1, 1
    const Pairs right = all(0xBB803B80U);  // 2^-8, -2^-8
    for (Index i = 0; i < steps; ++i) {
      for (Vector& chain : sum) chain = add_pairs(chain, left, right);
    }
    for (int c = 1; c < chains; ++c) sum[0] += sum[c];
    float lanes[width];
    store(lanes, sum[0]);
    return {lanes[0] / (0.5F * chains * (chains + 1)),
            4.0 * static_cast<double>(steps) * chains * width};
  }
#endif

  /// C tile [rows, columns]; c and b point to its first element and first panel.
  /// @param ahead  a panel that is needed soon and fetched along the way, or null
  template <bool fetch_ahead, class Value, class Left>
  static void multiply(const PanelProduct<Value, Left>& p, const Left* a, const Value* b, float* c,
                       Index ldc, const Value* ahead = nullptr) {
    const Store store_as = p.store;
    Sums sum;
    D2C_UNROLLED
    for (int i = 0; i < rows; ++i) {
      D2C_UNROLLED
      for (int v = 0; v < vectors; ++v) sum[i][v] = Vector{};
    }
    if (store_as == Store::extend) {
      D2C_UNROLLED
      for (int i = 0; i < rows; ++i) {
        D2C_UNROLLED
        for (int v = 0; v < vectors; ++v) sum[i][v] = load(c + i * ldc + v * step);
      }
    }
    if (p.k > thin) {
      for (int i = 0; i < rows; ++i) {
        for (int column = 0; column < columns; column += panel_width) {
          __builtin_prefetch(c + i * ldc + column, 1);
        }
      }
    }
    run_chains<fetch_ahead>(sum, p, a, b, ahead);
    if (store_as == Store::add) {
      D2C_UNROLLED
      for (int i = 0; i < rows; ++i) {
        D2C_UNROLLED
        for (int v = 0; v < vectors; ++v) {
          sum[i][v] = load(c + i * ldc + v * step) + sum[i][v];
        }
      }
    }
    D2C_UNROLLED
    for (int i = 0; i < rows; ++i) {
      D2C_UNROLLED
      for (int v = 0; v < vectors; ++v) store(c + i * ldc + v * step, sum[i][v]);
    }
  }

  /// The tile at (row, column) of C, of which only `n` columns exist.
  template <class Value, class Left>
  static void multiply_narrow(const PanelProduct<Value, Left>& p, const Left* a, const Value* b,
                              float* c, Index n) {
    float whole[rows][columns];
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(float);
    if (p.store != Store::overwrite) {
      std::memset(whole, 0, sizeof whole);
      for (int i = 0; i < rows; ++i) std::memcpy(whole[i], c + i * p.ldc, bytes);
    }
    multiply<false>(p, a, b, &whole[0][0], columns);
    for (int i = 0; i < rows; ++i) std::memcpy(c + i * p.ldc, whole[i], bytes);
  }

  /// All tiles of one column of tiles: full tiles, then one of the remaining rows.
  template <class Value, class Left>
  static void multiply_column(const PanelProduct<Value, Left>& p, Index first_row, Index column) {
    const Value* b = p.b + column / panel_width * p.panel_stride;
    const Index n = p.n - column;
    constexpr Index panels = columns / panel_width;
    Index row = first_row;
    for (; row + rows <= p.m; row += rows) {
      const Left* a = p.a + row * row_step<Left>(p.lda);
      float* c = p.c + row * p.ldc + column;
      // The first tiles fetch the panels of the next column.
      const Index ahead = row / rows + panels;
      if (n >= columns && ahead < 2 * panels && column + ahead * panel_width < p.n) {
        multiply<true>(p, a, b, c, p.ldc, b + ahead * p.panel_stride);
      } else if (n >= columns) {
        multiply<false>(p, a, b, c, p.ldc);
      } else {
        multiply_narrow(p, a, b, c, n);
      }
    }
    if constexpr (rows > 1) {
      if (row < p.m) Tile<width, vectors, rows - 1, reading>::multiply_column(p, row, column);
    }
  }

  /// As many independent chains as the tile holds sums.
  static FmaChains fma_chains(Index steps, float start) {
    constexpr int chains = rows * vectors;
    Vector sum[chains];
    for (Vector& chain : sum) chain = Vector{} + start;
    const Vector factor = Vector{} + 0.5F;
    const Vector term = Vector{} + start;
    for (Index i = 0; i < steps; ++i) {
      for (Vector& chain : sum) chain = chain * factor + term;
    }
    for (int c = 1; c < chains; ++c) sum[0] += sum[c];
    float lanes[width];
    store(lanes, sum[0]);
    return {lanes[0] / (2.0F * chains), 2.0 * static_cast<double>(steps) * chains * width};
  }
};

/// Tiles from `column` on. @return the first column that is left, if a whole tile finds no panels
template <int width, int vectors, int rows, Reading reading, class Value, class Left>
Index multiply_columns(const PanelProduct<Value, Left>& p, Index column) {
  constexpr int columns = width * vectors;
  for (; column + columns - panel_width < p.n; column += columns) {
    Tile<width, vectors, rows, reading>::multiply_column(p, 0, column);
  }
  return column;
}

template <int width, int vectors, int rows, class Value, class Left = float>
void multiply_all(const PanelProduct<Value, Left>& p) {
  constexpr int panel_vectors = panel_width / width;
  Index column = 0;
  if constexpr (std::is_same_v<Left, float>) {
    if (p.lda != block_stride<float>) {
      if constexpr (width == panel_width) {
        // Few products for each element of C: wider tiles write longer pieces of its rows.
        if (p.k <= thin) {
          column = multiply_columns<width, 2 * vectors, rows / 2, Reading::in_place>(p, column);
        }
      }
      column = multiply_columns<width, vectors, rows, Reading::in_place>(p, column);
      multiply_columns<width, panel_vectors, rows, Reading::in_place>(p, column);
      return;
    }
  }
  column = multiply_columns<width, vectors, rows, Reading::block>(p, column);
  multiply_columns<width, panel_vectors, rows, Reading::block>(p, column);
}

}  // namespace
}  // namespace d2c::ops
