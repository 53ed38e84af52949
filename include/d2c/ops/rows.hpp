#pragma once

#include <algorithm>

#include "d2c/core/error.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// Rows of floats in memory that belongs to somebody else: [n, width], row i at data + i * stride.
template <class Float>
struct BasicRows {
  Float* data = nullptr;
  Index n = 0;
  Index width = 0;
  Index stride = 0;

  [[nodiscard]] Float* row(Index i) const { return data + i * stride; }
  /// Columns [first, first + count) of all rows.
  [[nodiscard]] BasicRows columns(Index first, Index count) const {
    D2C_EXPECTS(first >= 0 && count >= 0 && first + count <= width);
    return {data + first, n, count, stride};
  }
  /// Rows [first, first + count).
  [[nodiscard]] BasicRows rows(Index first, Index count) const {
    D2C_EXPECTS(first >= 0 && count >= 0 && first + count <= n);
    return {row(first), count, width, stride};
  }
  operator BasicRows<const Float>() const { return {data, n, width, stride}; }
};

using Rows = BasicRows<float>;
using ConstRows = BasicRows<const float>;

inline void clear(Rows rows) {
  for (Index i = 0; i < rows.n; ++i) std::fill_n(rows.row(i), rows.width, 0.0F);
}
/// @pre equal shapes
inline void copy(ConstRows from, Rows to) {
  for (Index i = 0; i < from.n; ++i) std::copy_n(from.row(i), from.width, to.row(i));
}

[[nodiscard]] inline Rows rows_of(Matrix& m) { return {m.data(), m.rows(), m.cols(), m.cols()}; }
[[nodiscard]] inline ConstRows rows_of(const Matrix& m) {
  return {m.data(), m.rows(), m.cols(), m.cols()};
}

}  // namespace d2c::ops
