#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "d2c/core/error.hpp"

namespace d2c {

using Index = std::int64_t;

/// Dense row-major float matrix that owns its values.
class Matrix {
 public:
  Matrix() = default;
  /// Zeros. @pre rows, cols >= 0
  Matrix(Index rows, Index cols)
      : rows_(rows), cols_(cols), values_(static_cast<std::size_t>(rows * cols)) {}

  [[nodiscard]] Index rows() const { return rows_; }
  [[nodiscard]] Index cols() const { return cols_; }
  [[nodiscard]] Index size() const { return rows_ * cols_; }

  [[nodiscard]] float* data() { return values_.data(); }
  [[nodiscard]] const float* data() const { return values_.data(); }
  [[nodiscard]] std::span<float> values() { return values_; }
  [[nodiscard]] std::span<const float> values() const { return values_; }

  [[nodiscard]] std::span<float> row(Index i) {
    D2C_EXPECTS(i >= 0 && i < rows_);
    return {values_.data() + i * cols_, static_cast<std::size_t>(cols_)};
  }
  [[nodiscard]] std::span<const float> row(Index i) const {
    D2C_EXPECTS(i >= 0 && i < rows_);
    return {values_.data() + i * cols_, static_cast<std::size_t>(cols_)};
  }
  [[nodiscard]] float& operator()(Index i, Index j) { return row(i)[static_cast<std::size_t>(j)]; }
  [[nodiscard]] float operator()(Index i, Index j) const {
    return row(i)[static_cast<std::size_t>(j)];
  }

  [[nodiscard]] bool operator==(const Matrix&) const = default;

 private:
  Index rows_ = 0;
  Index cols_ = 0;
  std::vector<float> values_;
};

}  // namespace d2c
