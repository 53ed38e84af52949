#pragma once

#include <Eigen/Core>

#include "d2c/tensor/matrix.hpp"

/// Eigen views of Matrix. Include only where linear algebra is done: Eigen is slow to compile.
namespace d2c {

using EigenRowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

[[nodiscard]] inline Eigen::Map<EigenRowMajor> as_eigen(Matrix& m) {
  return {m.data(), m.rows(), m.cols()};
}
[[nodiscard]] inline Eigen::Map<const EigenRowMajor> as_eigen(const Matrix& m) {
  return {m.data(), m.rows(), m.cols()};
}

}  // namespace d2c
