#include "algebra/decompositions.hpp"

#include <algorithm>
#include <limits>

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>

namespace d2c::merge {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

Svd thin_svd(const MatrixXd& m) {
  if (m.size() == 0) return {MatrixXd(m.rows(), 0), VectorXd(0), MatrixXd(m.cols(), 0)};
  const Eigen::BDCSVD<MatrixXd> svd(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const VectorXd& s = svd.singularValues();
  const double floor =
      static_cast<double>(std::max(m.rows(), m.cols())) * std::numeric_limits<double>::epsilon();
  const Index rank = (s.array() > floor * s[0]).count();
  return {svd.matrixU().leftCols(rank), s.head(rank), svd.matrixV().leftCols(rank)};
}

MatrixXd singular_basis(const MatrixXd& m) {
  if (m.rows() <= m.cols()) return thin_svd(m).u;
  const Eigen::HouseholderQR<MatrixXd> qr(m);
  MatrixXd inner = qr.matrixQR().topRows(m.cols()).triangularView<Eigen::Upper>();
  inner = thin_svd(inner).u;
  MatrixXd basis = MatrixXd::Zero(m.rows(), inner.cols());
  basis.topRows(m.cols()) = inner;
  return qr.householderQ() * basis;
}

ThinQr thin_qr(const MatrixXd& m) {
  const Eigen::HouseholderQR<MatrixXd> qr(m);
  return {qr.householderQ() * MatrixXd::Identity(m.rows(), m.cols()),
          qr.matrixQR().topRows(m.cols()).triangularView<Eigen::Upper>()};
}

SymmetricEigen symmetric_eigen(const MatrixXd& m) {
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(m);
  return {solver.eigenvectors(), solver.eigenvalues()};
}

MatrixXd square_root_factor(const MatrixXd& g) {
  const Eigen::LDLT<MatrixXd> ldlt(g);
  const VectorXd root = ldlt.vectorD().cwiseMax(0.0).cwiseSqrt();
  MatrixXd factor = MatrixXd(ldlt.matrixL()) * root.asDiagonal();
  factor = ldlt.transpositionsP().transpose() * factor;
  return factor;
}

MatrixXd solve_positive(MatrixXd s, const MatrixXd& b) {
  const Eigen::LLT<Eigen::Ref<MatrixXd>> llt(s);
  return llt.solve(b);
}

}  // namespace d2c::merge
