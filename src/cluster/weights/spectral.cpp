#include "weights/spectral.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <Eigen/Eigenvalues>
#include <Eigen/QR>

#include "weights/kernel_kmeans.hpp"

namespace d2c::cluster {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

/// Symmetric values with a view of them as a matrix.
struct Values {
  explicit Values(const SimilarityMatrix& similarity) {
    const auto n = static_cast<std::size_t>(similarity.n());
    values.reserve(n * n);
    for (const TaskId a : similarity.tasks())
      for (const TaskId b : similarity.tasks()) values.push_back(similarity(a, b));
  }
  [[nodiscard]] Eigen::Map<MatrixXd> matrix(int n) { return {values.data(), n, n}; }

  std::vector<double> values;  // [n, n]
};

MatrixXd orthonormal(const MatrixXd& columns) {
  const Eigen::HouseholderQR<MatrixXd> qr(columns);
  return qr.householderQ() * MatrixXd::Identity(columns.rows(), columns.cols());
}

}  // namespace

MatrixXd leading_eigenvectors(const Eigen::Ref<const MatrixXd>& matrix, Index count,
                              CounterRng& rng) {
  constexpr Index extra = 4;
  constexpr int max_rounds = 40;
  constexpr int products_per_round = 5;
  MatrixXd basis(matrix.rows(), std::min(matrix.rows(), count + extra));
  for (double& value : basis.reshaped()) value = rng.uniform() - 0.5;
  basis = orthonormal(basis);
  Eigen::VectorXd before = Eigen::VectorXd::Constant(count, -1);
  for (int round = 0; round < max_rounds; ++round) {
    for (int product = 0; product < products_per_round; ++product)
      basis = orthonormal(matrix * basis);
    const Eigen::SelfAdjointEigenSolver<MatrixXd> ritz(basis.transpose() * (matrix * basis));
    basis = (basis * ritz.eigenvectors().rowwise().reverse()).eval();
    const Eigen::VectorXd values = ritz.eigenvalues().reverse().head(count);
    const double change = (values - before).cwiseAbs().maxCoeff();
    before = values;
    if (change < 1e-10) break;
  }
  for (auto column : basis.colwise()) {
    Index largest = 0;
    column.cwiseAbs().maxCoeff(&largest);
    if (column[largest] < 0) column = -column;
  }
  return basis.leftCols(count);
}

Partition spectral(const SimilarityMatrix& similarity, int k, CounterRng& rng) {
  Values values(similarity);
  auto affinity = values.matrix(similarity.n());
  affinity = affinity.cwiseMax(0.0);
  affinity.diagonal().setZero();
  const Eigen::VectorXd degree = affinity.colwise().sum();
  const Eigen::VectorXd root =
      (degree.array() > 0).select(degree.array().rsqrt(), Eigen::ArrayXd::Zero(degree.size()));
  // (I + D^-1/2 W D^-1/2) / 2 has the same eigenvectors, and no negative eigenvalue.
  affinity = root.asDiagonal() * affinity * root.asDiagonal();
  affinity.diagonal().array() += 1;
  affinity /= 2;
  MatrixXd rows = leading_eigenvectors(affinity, k, rng);
  rows.rowwise().normalize();
  affinity.noalias() = rows * rows.transpose();
  return kernel_kmeans(std::move(values.values), k, rng);
}

SimilarityMatrix reduced_cosine(const SimilarityMatrix& gram, int dimensions, CounterRng& rng) {
  Values values(gram);
  auto reduced = values.matrix(gram.n());
  if (dimensions < gram.n()) {
    const double trace = reduced.trace();
    if (trace > 0) reduced /= trace;
    const MatrixXd v = leading_eigenvectors(reduced, dimensions, rng);
    const Eigen::VectorXd eigenvalues = (v.transpose() * reduced * v).diagonal();
    reduced.noalias() = v * eigenvalues.asDiagonal() * v.transpose();
  }
  const Eigen::VectorXd squared = reduced.diagonal();
  const Eigen::VectorXd root =
      (squared.array() > 0).select(squared.array().rsqrt(), Eigen::ArrayXd::Zero(squared.size()));
  reduced = root.asDiagonal() * reduced * root.asDiagonal();
  return std::move(values.values);
}

}  // namespace d2c::cluster
