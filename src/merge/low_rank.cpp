#include "low_rank.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

#include "d2c/tensor/eigen.hpp"

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

MatrixXd gram(const MatrixXd& m) {
  MatrixXd product = MatrixXd::Zero(m.cols(), m.cols());
  product.selfadjointView<Eigen::Lower>().rankUpdate(m.transpose());
  product.triangularView<Eigen::StrictlyUpper>() = product.transpose();
  return product;
}

/// F with F F^T = g, for g positive semidefinite up to rounding.
MatrixXd square_root_factor(const MatrixXd& g) {
  const Eigen::LDLT<MatrixXd> ldlt(g);
  const VectorXd root = ldlt.vectorD().cwiseMax(0.0).cwiseSqrt();
  MatrixXd factor = MatrixXd(ldlt.matrixL()) * root.asDiagonal();
  factor = ldlt.transpositionsP().transpose() * factor;
  return factor;
}

struct LeadingEigenpairs {
  MatrixXd vectors;  ///< [n, k]
  VectorXd values;   ///< [k], descending, all above the floor
};

/// At most `count` eigenpairs of a symmetric matrix with eigenvalues above `floor`.
LeadingEigenpairs leading_eigenpairs(const MatrixXd& symmetric, Index count, double floor) {
  if (symmetric.rows() == 0) return {};
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(symmetric);
  const VectorXd values = solver.eigenvalues().reverse();
  const Index above = (values.array() > floor).count();
  const Index kept = std::min(count, above);
  return {solver.eigenvectors().rowwise().reverse().leftCols(kept), values.head(kept)};
}

/// Factors of rank `rank` from B^ [d_out, k] and A^T [d_in, k] with k <= rank.
lora::Factors padded(const MatrixXd& b, const MatrixXd& a_transposed, Index rank) {
  lora::Factors result{Matrix(rank, a_transposed.rows()), Matrix(b.rows(), rank), 1.0};
  as_eigen(result.b).leftCols(b.cols()) = b.cast<float>();
  as_eigen(result.a).topRows(b.cols()) = a_transposed.transpose().cast<float>();
  return result;
}

/// Rounding level of the eigenvalues of a product of matrices with these norms.
double rounding_floor(Index n, double norm) {
  return static_cast<double>(n) * std::numeric_limits<double>::epsilon() * norm;
}

double infinity_norm(const MatrixXd& m) { return m.cwiseAbs().rowwise().sum().maxCoeff(); }

// With M = B A^T, A^T A = F F^T and A = Q F^T for some orthonormal Q: M^T M = Q (F^T B^T B F) Q^T,
// an R x R eigenproblem whose eigenvalues are the squared singular values of M. For an eigenvector
// v with eigenvalue s^2 the singular vectors are B x / s and A (B^T B x) / s^2 where x = F v.
// Squaring loses singular values below sqrt(eps) of the factors' norms, about 1e-8: less than what
// rounding the factors to float loses.
lora::Factors truncate_through_core(const Stack& s, Index rank) {
  const Index n = s.strength.size();
  MatrixXd gram_a = gram(s.a);
  MatrixXd gram_b = gram(s.b);

  // Each rank-one unit u b a^T is balanced to equal norms on both sides, so that neither factor's
  // norm exceeds what the product needs.
  const auto norms_a = gram_a.diagonal().cwiseSqrt().eval();
  const auto norms_b = gram_b.diagonal().cwiseSqrt().eval();
  VectorXd scale_a = VectorXd::Zero(n);
  VectorXd scale_b = VectorXd::Zero(n);
  for (Index j = 0; j < n; ++j) {
    const double size = std::sqrt(std::abs(s.strength[j]) * norms_a[j] * norms_b[j]);
    if (size == 0) continue;
    scale_a[j] = size / norms_a[j];
    scale_b[j] = std::copysign(size / norms_b[j], s.strength[j]);
  }
  gram_a = scale_a.asDiagonal() * gram_a * scale_a.asDiagonal();
  gram_b = scale_b.asDiagonal() * gram_b * scale_b.asDiagonal();

  const MatrixXd factor = square_root_factor(gram_a);
  const MatrixXd core = factor.transpose() * gram_b * factor;
  const double floor = rounding_floor(n, infinity_norm(gram_a) * infinity_norm(gram_b));
  const auto [vectors, squares] = leading_eigenpairs(core, rank, floor);
  const MatrixXd x = factor * vectors;
  const MatrixXd x_b = scale_b.asDiagonal() * x * squares.array().pow(-0.25).matrix().asDiagonal();
  const MatrixXd x_a =
      scale_a.asDiagonal() * (gram_b * x) * squares.array().pow(-0.75).matrix().asDiagonal();
  return padded(s.b * x_b, s.a * x_a, rank);
}

}  // namespace

Stack stack(const Unit& unit) {
  Stack s{MatrixXd(unit.d_out, unit.total_rank), MatrixXd(unit.d_in, unit.total_rank),
          VectorXd(unit.total_rank)};
  Index column = 0;
  for (const Member& member : unit.members) {
    const lora::Factors& f = *member.factors;
    s.b.middleCols(column, f.rank()) = as_eigen(f.b).cast<double>();
    s.a.middleCols(column, f.rank()) = as_eigen(f.a).transpose().cast<double>();
    s.strength.segment(column, f.rank()).setConstant(strength(member));
    column += f.rank();
  }
  return s;
}

lora::Factors truncate(const Stack& s, Index rank) {
  if (s.strength.size() > std::min(s.b.rows(), s.a.rows())) {
    return truncate(s.b * s.strength.asDiagonal() * s.a.transpose(), rank);
  }
  return truncate_through_core(s, rank);
}

lora::Factors truncate(const MatrixXd& dense, Index rank) {
  if (dense.rows() > dense.cols()) {
    lora::Factors transposed = truncate(MatrixXd(dense.transpose()), rank);
    lora::Factors result{Matrix(rank, dense.cols()), Matrix(dense.rows(), rank), 1.0};
    as_eigen(result.a) = as_eigen(transposed.b).transpose();
    as_eigen(result.b) = as_eigen(transposed.a).transpose();
    return result;
  }
  const MatrixXd core = gram(dense.transpose());
  const auto [vectors, squares] =
      leading_eigenpairs(core, rank, rounding_floor(core.rows(), infinity_norm(core)));
  return padded(vectors * squares.array().pow(0.25).matrix().asDiagonal(),
                dense.transpose() * vectors * squares.array().pow(-0.25).matrix().asDiagonal(),
                rank);
}

}  // namespace d2c::merge
