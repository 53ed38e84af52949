#pragma once

#include <Eigen/Core>

namespace d2c::merge {

/// Dense decompositions in double. They are compiled here alone, as Eigen's take long to compile.

/// m = u diag(s) v^T.
struct Svd {
  Eigen::MatrixXd u;
  Eigen::VectorXd s;  ///< descending, without those at rounding level
  Eigen::MatrixXd v;
};
[[nodiscard]] Svd thin_svd(const Eigen::MatrixXd& m);

/// Orthonormal basis of the columns of m, by descending singular value.
[[nodiscard]] Eigen::MatrixXd singular_basis(const Eigen::MatrixXd& m);

/// m = q r with orthonormal columns of q.
struct ThinQr {
  Eigen::MatrixXd q;
  Eigen::MatrixXd r;
};
[[nodiscard]] ThinQr thin_qr(const Eigen::MatrixXd& m);

/// All eigenpairs of a symmetric matrix.
struct SymmetricEigen {
  Eigen::MatrixXd vectors;
  Eigen::VectorXd values;  ///< ascending
};
[[nodiscard]] SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& m);

/// F with F F^T = g, for g positive semidefinite up to rounding.
[[nodiscard]] Eigen::MatrixXd square_root_factor(const Eigen::MatrixXd& g);

/// Solves S y = b for a symmetric positive definite S, of which the lower triangle is given.
[[nodiscard]] Eigen::MatrixXd solve_positive(Eigen::MatrixXd s, const Eigen::MatrixXd& b);

}  // namespace d2c::merge
