#pragma once

#include "d2c/ops/packed_matrix.hpp"
#include "d2c/tensor/dtype.hpp"

#include "panel/panel_kernel.hpp"

/// The order of values in a PackedMatrix.
namespace d2c::ops {

[[nodiscard]] constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
[[nodiscard]] constexpr Index n_panels(Index d_out) { return ceil_div(d_out, panel_width); }

/// Where a panel holds column k of its row `lane`, and how wide a panel is.
template <class Value>
struct PanelOrder {
  static Index place(Index k, Index lane) { return k * panel_width + lane; }
  static Index size(Index d_in) { return d_in * panel_width; }
  static float value(float stored) { return stored; }
  static float stored(float value) { return value; }
};

template <>
struct PanelOrder<BFloat16> {
  static Index place(Index k, Index lane) { return k / 2 * 2 * panel_width + 2 * lane + k % 2; }
  static Index size(Index d_in) { return (d_in + 1) / 2 * 2 * panel_width; }
  static float value(BFloat16 stored) {
    return float_from_bf16(static_cast<std::uint16_t>(stored));
  }
  static BFloat16 stored(float value) { return BFloat16{bf16_from_float(value)}; }
};

}  // namespace d2c::ops
