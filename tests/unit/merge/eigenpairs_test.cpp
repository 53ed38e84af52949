#include "algebra/eigenpairs.hpp"

#include <random>

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <gtest/gtest.h>

namespace d2c::merge {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Random symmetric matrix with the given eigenvalues.
MatrixXd with_spectrum(const VectorXd& values) {
  std::mt19937 rng(1);
  std::normal_distribution<double> normal;
  const MatrixXd random =
      MatrixXd::NullaryExpr(values.size(), values.size(), [&] { return normal(rng); });
  const MatrixXd q = Eigen::HouseholderQR<MatrixXd>(random).householderQ();
  return q * values.asDiagonal() * q.transpose();
}

SymmetricOperator as_operator(const MatrixXd& m) {
  return {m.rows(), [&m](const MatrixXd& x) -> MatrixXd { return m * x; }, [&m] { return m; }};
}

void expect_leading_eigenpairs(const VectorXd& spectrum, Eigen::Index count) {
  const MatrixXd m = with_spectrum(spectrum);
  const Eigenpairs found = leading_eigenpairs(as_operator(m), count);
  ASSERT_EQ(found.values.size(), count);
  VectorXd sorted = spectrum;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  EXPECT_LT((found.values - sorted.head(count)).norm(), 1e-8 * sorted[0]);
  EXPECT_LT((found.vectors.transpose() * found.vectors - MatrixXd::Identity(count, count)).norm(),
            1e-10);
  EXPECT_LT((m * found.vectors - found.vectors * found.values.asDiagonal()).norm(),
            1e-7 * sorted[0]);
}

TEST(LeadingEigenpairs, OfASmallMatrix) {
  expect_leading_eigenpairs(VectorXd::LinSpaced(20, 0, 1), 3);
  expect_leading_eigenpairs(VectorXd::LinSpaced(20, 0, 1), 20);
}

TEST(LeadingEigenpairs, AreAllOfThemIfWanted) {
  expect_leading_eigenpairs(VectorXd::LinSpaced(150, 0, 1), 150);
}

TEST(LeadingEigenpairs, OfALargeMatrixWithDecayingSpectrum) {
  expect_leading_eigenpairs(
      VectorXd::NullaryExpr(400, [](Eigen::Index i) { return std::pow(0.9, i); }), 8);
}

TEST(LeadingEigenpairs, OfALargeMatrixWithEvenSpectrum) {
  expect_leading_eigenpairs(VectorXd::LinSpaced(400, 0.5, 1), 8);
}

TEST(LeadingEigenpairs, OfALargeMatrixWithRepeatedEigenvalues) {
  VectorXd spectrum = VectorXd::Constant(400, 0.1);
  spectrum.head(30).setOnes();
  expect_leading_eigenpairs(spectrum, 6);
}

TEST(LeadingEigenpairs, OfALargeMatrixOfLowRank) {
  for (const Eigen::Index rank : {0, 1, 3, 7, 20}) {
    VectorXd spectrum = VectorXd::Zero(400);
    spectrum.head(rank).setLinSpaced(1, 2);
    SCOPED_TRACE(rank);
    if (rank == 0) {
      const MatrixXd zero = MatrixXd::Zero(400, 400);
      EXPECT_LT(leading_eigenpairs(as_operator(zero), 5).values.norm(), 1e-300);
    } else {
      expect_leading_eigenpairs(spectrum, 5);
    }
  }
}

}  // namespace
}  // namespace d2c::merge
