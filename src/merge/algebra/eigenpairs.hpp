#pragma once

#include <functional>

#include <Eigen/Core>

namespace d2c::merge {

/// A symmetric positive semidefinite matrix, known by its action.
struct SymmetricOperator {
  Eigen::Index size = 0;
  std::function<Eigen::MatrixXd(const Eigen::MatrixXd&)> apply;  ///< [size, k] -> [size, k]
  std::function<Eigen::MatrixXd()> dense;                        ///< the matrix itself
};

struct Eigenpairs {
  Eigen::MatrixXd vectors;  ///< [size, k], orthonormal
  Eigen::VectorXd values;   ///< [k], descending
};

/// The `count` largest eigenpairs. Many of them: all by a dense solver. Few: block Lanczos with
/// full reorthogonalisation, until every residual is below 1e-9 of the largest eigenvalue; where it
/// does not get there early enough to pay, the dense solver.
[[nodiscard]] Eigenpairs leading_eigenpairs(const SymmetricOperator& matrix, Eigen::Index count);

}  // namespace d2c::merge
