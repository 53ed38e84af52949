#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "d2c/tensor/eigen.hpp"

#include "algebra/decompositions.hpp"
#include "algebra/eigenpairs.hpp"
#include "algebra/low_rank.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// What the entries off the diagonal of a second moment are multiplied by: few inputs overstate how
/// they hang together.
constexpr double damping = 0.9;
/// Added to the diagonal, whose mean is 1.
constexpr double ridge = 1e-3;
/// An update of low rank tells of few directions, in which it would keep its full size while the
/// others have none: with little ridge the merge is nearer to the sum than to the mean.
constexpr double estimated_ridge = 10;

/// C = diag(diagonal) + rows^T rows + gram, where what is empty is zero.
struct Covariance {
  VectorXd diagonal;  ///< [d_in]
  MatrixXd rows;      ///< [n, d_in]
  MatrixXd gram;      ///< [d_in, d_in]

  [[nodiscard]] Index d_in() const { return diagonal.size(); }
  /// C x
  [[nodiscard]] MatrixXd times(const MatrixXd& x) const {
    MatrixXd product = diagonal.asDiagonal() * x;
    if (rows.rows() > 0) product.noalias() += rows.transpose() * (rows * x);
    if (gram.rows() > 0) product.noalias() += gram * x;
    return product;
  }
};

MatrixXd unpacked(const lora::InputMoment& moment) {
  MatrixXd gram(moment.d_in, moment.d_in);
  auto value = moment.values.begin();
  for (Index i = 0; i < moment.d_in; ++i) {
    for (Index j = 0; j <= i; ++j, ++value) gram(i, j) = gram(j, i) = static_cast<double>(*value);
  }
  return gram;
}

/// A moment M of mean diagonal 1 with its ridge: damping M + (1 - damping) diag(M) + ridge I.
Covariance covariance_of(const lora::InputMoment& moment) {
  Covariance c{VectorXd::Zero(moment.d_in), {}, {}};
  switch (moment.form) {
    case lora::MomentForm::rows:
      c.rows = Eigen::Map<const EigenRowMajor>(moment.values.data(), moment.n(), moment.d_in)
                   .cast<double>();
      c.diagonal = c.rows.colwise().squaredNorm();
      c.rows *= std::sqrt(damping);
      break;
    case lora::MomentForm::packed:
      c.gram = unpacked(moment);
      c.diagonal = c.gram.diagonal();
      c.gram *= damping;
      break;
    case lora::MomentForm::diagonal:
      c.diagonal =
          Eigen::Map<const Eigen::VectorXf>(moment.values.data(), moment.d_in).cast<double>();
      c.diagonal.array() += ridge;
      return c;
  }
  c.diagonal = (1 - damping) * c.diagonal.array() + ridge;
  return c;
}

/// The inputs that an update answers to most, as far as it alone tells: M is proportional to
/// A^T B^T B A.
Covariance covariance_of(const lora::Factors& factors) {
  const MatrixXd b = as_eigen(factors.b).cast<double>();
  Covariance c;
  c.rows = square_root_factor(b.transpose() * b).transpose() * as_eigen(factors.a).cast<double>();
  const double trace = c.rows.squaredNorm();
  if (trace > 0) c.rows *= std::sqrt(static_cast<double>(factors.d_in()) / trace);
  c.diagonal = (1 - damping) * c.rows.colwise().squaredNorm().transpose().array() + estimated_ridge;
  c.rows *= std::sqrt(damping);
  return c;
}

/// S = sum of |w_i| C_i, as low-rank factors and a diagonal as long as these are smaller.
class CovarianceSum {
 public:
  explicit CovarianceSum(Index d_in) : diagonal_(VectorXd::Zero(d_in)) {}

  void add(Covariance c, double weight) {
    diagonal_ += weight * c.diagonal;
    c.rows *= std::sqrt(weight);
    if (gram_.rows() == 0 && (c.gram.rows() > 0 || n_rows_ + c.rows.rows() >= c.d_in())) {
      gram_ = MatrixXd::Zero(c.d_in(), c.d_in());
      for (const MatrixXd& rows : std::exchange(rows_, {})) add_products(rows);
    }
    if (gram_.rows() == 0) {
      n_rows_ += c.rows.rows();
      rows_.push_back(std::move(c.rows));
      return;
    }
    if (c.rows.rows() > 0) add_products(c.rows);
    if (c.gram.rows() > 0) gram_ += weight * c.gram;
  }

  /// S^-1 x. Call once.
  [[nodiscard]] MatrixXd solve(const MatrixXd& x) {
    if (gram_.rows() > 0) {
      gram_.diagonal() += diagonal_;
      return solve_positive(std::move(gram_), x);
    }
    // (D + Z^T Z)^-1 = D^-1 - D^-1 Z^T (I + Z D^-1 Z^T)^-1 Z D^-1
    const VectorXd inverse = diagonal_.cwiseInverse();
    MatrixXd y = inverse.asDiagonal() * x;
    if (n_rows_ == 0) return y;
    MatrixXd z(n_rows_, diagonal_.size());
    Index first = 0;
    for (const MatrixXd& rows : std::exchange(rows_, {})) {
      z.middleRows(first, rows.rows()) = rows;
      first += rows.rows();
    }
    const MatrixXd scaled = z * inverse.asDiagonal();
    MatrixXd inner = MatrixXd::Identity(n_rows_, n_rows_);
    inner.noalias() += scaled * z.transpose();
    y.noalias() -= scaled.transpose() * solve_positive(std::move(inner), z * y);
    return y;
  }

 private:
  void add_products(const MatrixXd& rows) {
    gram_.selfadjointView<Eigen::Lower>().rankUpdate(rows.transpose());
  }

  VectorXd diagonal_;
  std::vector<MatrixXd> rows_;
  Index n_rows_ = 0;
  MatrixXd gram_;  ///< lower triangle
};

// With S = sum |w_i| C_i and N = sum w_i s_i B_i A_i C_i the regression is N S^-1; its best
// approximation of rank r in the metric of S is U U^T N S^-1, where U are the leading left singular
// vectors of N L^-T (S = L L^T), the eigenvectors of N S^-1 N^T. L itself is not needed.
class Regression final : public ModuleMerge {
 public:
  Regression(Inputs inputs, std::string_view module, const UnitShape& shape, const Options& options)
      : inputs_(inputs),
        module_(module),
        options_(options),
        dense_(shape.total_rank > std::min(shape.d_out, shape.d_in)),
        sum_(shape.d_in) {
    unit_.module = module_;
    if (dense_) {
      stack_.a = MatrixXd::Zero(shape.d_in, shape.d_out);
    } else {
      stack_ = {MatrixXd(shape.d_out, shape.total_rank), MatrixXd(shape.d_in, shape.total_rank),
                VectorXd(shape.total_rank)};
    }
  }

  void add(const Member& member) override {
    admit(unit_, member);
    const lora::Factors& f = *member.factors;
    D2C_EXPECTS(inputs_ == Inputs::estimated ||
                (member.inputs != nullptr && member.inputs->d_in == f.d_in()));
    Covariance c = inputs_ == Inputs::estimated ? covariance_of(f) : covariance_of(*member.inputs);
    const double weight = std::abs(member.weight);
    const MatrixXd a = weight * c.times(as_eigen(f.a).transpose().cast<double>());
    const double strength = member.weight < 0 ? -f.scaling : f.scaling;
    if (dense_) {
      stack_.a.noalias() += a * (strength * as_eigen(f.b).transpose().cast<double>());
    } else {
      D2C_EXPECTS(used_ + f.rank() <= stack_.strength.size());
      stack_.b.middleCols(used_, f.rank()) = as_eigen(f.b).cast<double>();
      stack_.a.middleCols(used_, f.rank()) = a;
      stack_.strength.segment(used_, f.rank()).setConstant(strength);
      used_ += f.rank();
    }
    sum_.add(std::move(c), weight);
    total_weight_ += weight;
  }

  [[nodiscard]] lora::Factors finish() override {
    const Index rank = chosen_rank(unit_, options_);
    if (total_weight_ == 0 || rank == 0) {
      return padded(MatrixXd(unit_.d_out, 0), MatrixXd(unit_.d_in, 0), rank);
    }
    // As with other sums, weights that add up to 2 give twice the update.
    const MatrixXd solved = sum_.solve(stack_.a);
    if (dense_) return finish_dense(solved, rank);
    MatrixXd gram = stack_.a.transpose() * solved;
    gram = (0.5 * (gram + gram.transpose())).eval();
    stack_.a = solved;
    stack_.strength *= total_weight_;
    return truncate_in_metric(stack_, gram, rank);
  }

 private:
  /// @param solved  [d_in, d_out] S^-1 N^T
  [[nodiscard]] lora::Factors finish_dense(const MatrixXd& solved, Index rank) const {
    const MatrixXd& n = stack_.a;
    const SymmetricOperator squared{
        unit_.d_out, [&](const MatrixXd& x) -> MatrixXd { return n.transpose() * (solved * x); },
        [&]() -> MatrixXd {
          const MatrixXd product = n.transpose() * solved;
          return 0.5 * (product + product.transpose());
        }};
    const Eigenpairs pairs = leading_eigenpairs(squared, rank);
    // b = U sigma^1/2, a = sigma^-1/2 U^T N S^-1, which have equal norms in the metric of S.
    const double floor = 1e-14 * std::max(pairs.values[0], 0.0);
    const Index kept = (pairs.values.array() > floor).count();
    const VectorXd root = pairs.values.head(kept).array().pow(0.25);
    const MatrixXd u = pairs.vectors.leftCols(kept);
    return padded(total_weight_ * (u * root.asDiagonal()),
                  solved * u * root.cwiseInverse().asDiagonal(), rank);
  }

  Inputs inputs_;
  std::string module_;
  Options options_;
  Unit unit_;
  /// N^T [d_in, d_out] in place of its factors, where these are larger.
  bool dense_;
  Stack stack_;  ///< `a` holds |w_i| C_i A_i^T, or N^T alone
  Index used_ = 0;
  CovarianceSum sum_;
  double total_weight_ = 0;
};

}  // namespace

std::unique_ptr<ModuleMerge> start_regression(Inputs inputs, std::string_view module,
                                              const UnitShape& shape, const Options& options) {
  return std::make_unique<Regression>(inputs, module, shape, options);
}

}  // namespace d2c::merge
