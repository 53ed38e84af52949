#include "algebra/low_rank.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "d2c/tensor/eigen.hpp"

#include "algebra/decompositions.hpp"
#include "algebra/eigenpairs.hpp"

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// m^T m.
MatrixXd gram(const MatrixXd& m) {
  MatrixXd product = MatrixXd::Zero(m.cols(), m.cols());
  if (m.cols() == 0) return product;  // Eigen would look at its first value
  product.selfadjointView<Eigen::Lower>().rankUpdate(m.transpose());
  product.triangularView<Eigen::StrictlyUpper>() = product.transpose();
  return product;
}

double infinity_norm(const MatrixXd& m) { return m.cwiseAbs().rowwise().sum().maxCoeff(); }

/// How many eigenvalues stand above the rounding errors of a matrix of this norm.
Index numerical_rank(const VectorXd& descending, Index size, double norm) {
  const double floor = static_cast<double>(size) * std::numeric_limits<double>::epsilon() * norm;
  return (descending.array() > floor).count();
}

/// Columns of `m` times powers of the eigenvalues.
MatrixXd scaled(const MatrixXd& m, const VectorXd& eigenvalues, double power) {
  return m * eigenvalues.array().pow(power).matrix().asDiagonal();
}

/// Products of a float matrix in double: converted in blocks, so that no double copy of it is held.
class Dense {
 public:
  explicit Dense(const Matrix& m) : m_(as_eigen(m)) {}

  /// m x
  [[nodiscard]] MatrixXd times(const MatrixXd& x) const {
    MatrixXd result(m_.rows(), x.cols());
    for_each_block([&](Index first, const Block& block) {
      result.middleRows(first, block.rows()).noalias() = block * x;
    });
    return result;
  }
  /// m^T x
  [[nodiscard]] MatrixXd transposed_times(const MatrixXd& x) const {
    MatrixXd result = MatrixXd::Zero(m_.cols(), x.cols());
    for_each_block([&](Index first, const Block& block) {
      result.noalias() += block.transpose() * x.middleRows(first, block.rows());
    });
    return result;
  }
  /// m^T m
  [[nodiscard]] MatrixXd columns_gram() const {
    MatrixXd result = MatrixXd::Zero(m_.cols(), m_.cols());
    for_each_block([&](Index, const Block& block) {
      result.selfadjointView<Eigen::Lower>().rankUpdate(block.transpose());
    });
    result.triangularView<Eigen::StrictlyUpper>() = result.transpose();
    return result;
  }
  /// m m^T
  [[nodiscard]] MatrixXd rows_gram() const {
    MatrixXd result = MatrixXd::Zero(m_.rows(), m_.rows());
    const Index step = std::max<Index>(1, block_entries / m_.rows());
    for (Index first = 0; first < m_.cols(); first += step) {
      const MatrixXd block = m_.middleCols(first, std::min(step, m_.cols() - first)).cast<double>();
      result.selfadjointView<Eigen::Lower>().rankUpdate(block);
    }
    result.triangularView<Eigen::StrictlyUpper>() = result.transpose();
    return result;
  }
  [[nodiscard]] Index rows() const { return m_.rows(); }
  [[nodiscard]] Index cols() const { return m_.cols(); }

 private:
  using Block = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  static constexpr Index block_entries = Index{1} << 18;

  template <typename Visit>
  void for_each_block(Visit visit) const {
    const Index step = std::max<Index>(1, block_entries / m_.cols());
    for (Index first = 0; first < m_.rows(); first += step) {
      visit(first, Block(m_.middleRows(first, std::min(step, m_.rows() - first)).cast<double>()));
    }
  }

  Eigen::Map<const EigenRowMajor> m_;
};

/// Singular vectors on the smaller side from an eigenproblem, those on the other from a product.
lora::Factors truncate_dense(const Dense& m, Index rank) {
  const bool wide = m.rows() <= m.cols();
  const SymmetricOperator squared{std::min(m.rows(), m.cols()),
                                  [&](const MatrixXd& x) {
                                    return wide ? m.times(m.transposed_times(x))
                                                : m.transposed_times(m.times(x));
                                  },
                                  [&] { return wide ? m.rows_gram() : m.columns_gram(); }};
  const Eigenpairs pairs = leading_eigenpairs(squared, rank);
  const Index kept = numerical_rank(pairs.values, squared.size, pairs.values[0]);
  const VectorXd squares = pairs.values.head(kept);
  const MatrixXd own = pairs.vectors.leftCols(kept);
  const MatrixXd other = wide ? m.transposed_times(own) : m.times(own);
  const MatrixXd b = wide ? scaled(own, squares, 0.25) : scaled(other, squares, -0.25);
  const MatrixXd a = wide ? scaled(other, squares, -0.25) : scaled(own, squares, 0.25);
  return padded(b, a, rank);
}

}  // namespace

Stack stack(const Unit& unit) {
  Stack s{MatrixXd(unit.d_out, unit.total_rank), MatrixXd(unit.d_in, unit.total_rank),
          VectorXd(unit.total_rank)};
  Index column = 0;
  for (const Member& member : unit.members) column = put(member, column, s);
  return s;
}

Index put(const Member& member, Index column, Stack& s) {
  const lora::Factors& f = *member.factors;
  s.b.middleCols(column, f.rank()) = as_eigen(f.b).cast<double>();
  s.a.middleCols(column, f.rank()) = as_eigen(f.a).transpose().cast<double>();
  s.strength.segment(column, f.rank()).setConstant(strength(member));
  return column + f.rank();
}

lora::Factors padded(const MatrixXd& b, const MatrixXd& a_transposed, Index rank) {
  lora::Factors result{Matrix(rank, a_transposed.rows()), Matrix(b.rows(), rank), 1.0};
  as_eigen(result.b).leftCols(b.cols()) = b.cast<float>();
  as_eigen(result.a).topRows(b.cols()) = a_transposed.transpose().cast<float>();
  return result;
}

// With M = B A^T, A^T A = F F^T and A = Q F^T for some orthonormal Q: M^T M = Q (F^T B^T B F) Q^T,
// an R x R eigenproblem whose eigenvalues are the squared singular values of M. For an eigenvector
// v with eigenvalue s^2 the singular vectors are B x / s and A (B^T B x) / s^2 where x = F v.
// Squaring loses singular values below sqrt(eps) of the factors' norms, about 1e-8: less than what
// rounding the factors to float loses. In another metric of the inputs A^T A is A^T S A, and
// nothing else changes: A stands for L^T A, and the right factor is multiplied by L^-T again.
lora::Factors truncate_in_metric(const Stack& s, MatrixXd gram_a, Index rank) {
  const Index n = s.strength.size();
  if (n == 0) return padded(s.b, s.a, rank);
  MatrixXd gram_b = gram(s.b);

  // Each rank-one unit u b a^T is balanced to equal norms on both sides, so that neither factor's
  // norm exceeds what the product needs.
  VectorXd scale_a = VectorXd::Zero(n);
  VectorXd scale_b = VectorXd::Zero(n);
  for (Index j = 0; j < n; ++j) {
    const double norm_a = std::sqrt(gram_a(j, j));
    const double norm_b = std::sqrt(gram_b(j, j));
    const double size = std::sqrt(std::abs(s.strength[j]) * norm_a * norm_b);
    if (size == 0) continue;
    scale_a[j] = size / norm_a;
    scale_b[j] = std::copysign(size / norm_b, s.strength[j]);
  }
  gram_a = scale_a.asDiagonal() * gram_a * scale_a.asDiagonal();
  gram_b = scale_b.asDiagonal() * gram_b * scale_b.asDiagonal();

  const MatrixXd factor = square_root_factor(gram_a);
  MatrixXd core = factor.transpose() * gram_b * factor;
  const Eigenpairs pairs = leading_eigenpairs(
      {n, [&](const MatrixXd& x) -> MatrixXd { return core * x; }, [&] { return core; }},
      std::min(rank, n));
  const Index kept = numerical_rank(pairs.values, n, infinity_norm(gram_a) * infinity_norm(gram_b));
  const VectorXd squares = pairs.values.head(kept);
  const MatrixXd x = factor * pairs.vectors.leftCols(kept);
  return padded(s.b * (scale_b.asDiagonal() * scaled(x, squares, -0.25)),
                s.a * (scale_a.asDiagonal() * scaled(gram_b * x, squares, -0.75)), rank);
}

lora::Factors truncate(const Stack& s, Index rank) {
  if (s.strength.size() <= std::min(s.b.rows(), s.a.rows())) {
    return truncate_in_metric(s, gram(s.a), rank);
  }
  Matrix dense(s.b.rows(), s.a.rows());
  as_eigen(dense) = (s.b * s.strength.asDiagonal() * s.a.transpose()).cast<float>();
  return truncate(dense, rank);
}

lora::Factors truncate(const Matrix& dense, Index rank) {
  D2C_EXPECTS(rank <= std::min(dense.rows(), dense.cols()));
  if (rank == 0) return padded(MatrixXd(dense.rows(), 0), MatrixXd(dense.cols(), 0), 0);
  return truncate_dense(Dense(dense), rank);
}

}  // namespace d2c::merge
