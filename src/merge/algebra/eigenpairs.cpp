#include "algebra/eigenpairs.hpp"

#include <algorithm>
#include <optional>

#include "d2c/core/rng.hpp"

#include "algebra/decompositions.hpp"

namespace d2c::merge {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;

constexpr Index min_size_for_lanczos = 128;
constexpr Index oversampling = 8;
constexpr double tolerance = 1e-9;

/// Largest basis that Lanczos may build. Measured on x86-64-v3, sizes 128 to 2048: where it
/// converges within it, it takes a tenth to a half of the dense solver's time; where it does not,
/// the attempt costs at most a third on top.
Index largest_basis(Index size, Index block) {
  return std::min(size / 2, std::max(size / 4, 6 * block));
}

Eigenpairs dense_eigenpairs(const MatrixXd& symmetric, Index count) {
  const SymmetricEigen all = symmetric_eigen(symmetric);
  return {all.vectors.rightCols(count).rowwise().reverse(), all.values.tail(count).reverse()};
}

MatrixXd random_start(Index rows, Index cols) {
  CounterRng rng(0, hash_name("block lanczos"));
  return MatrixXd::NullaryExpr(rows, cols, [&](Index, Index) { return rng.normal(); });
}

// Golub & Van Loan, Matrix Computations, 4th ed., 10.3.6. After step j, T Q = Q H + Q' R E^T with E
// the last block of columns, so the residual of the Ritz pair (Q y, theta) is || R E^T y ||.
std::optional<Eigenpairs> block_lanczos(const SymmetricOperator& matrix, Index count) {
  const Index n = matrix.size;
  const Index block = count + oversampling;
  const Index limit = largest_basis(n, block);
  if (limit < 2 * block) return std::nullopt;
  MatrixXd basis(n, limit);
  MatrixXd projected = MatrixXd::Zero(limit, limit);
  MatrixXd q = thin_qr(random_start(n, block)).q;
  for (Index size = block; size <= limit; size += block) {
    basis.middleCols(size - block, block) = q;
    const auto known = basis.leftCols(size);
    MatrixXd image = matrix.apply(q);
    const MatrixXd coefficients = known.transpose() * image;
    image -= known * coefficients;
    image -= known * (known.transpose() * image);
    projected.block(0, size - block, size, block) = coefficients;
    projected.block(size - block, 0, block, size) = coefficients.transpose();
    const ThinQr next = thin_qr(image);

    const Eigenpairs ritz = dense_eigenpairs(projected.topLeftCorner(size, size), count);
    const double residual = (next.r * ritz.vectors.bottomRows(block)).colwise().norm().maxCoeff();
    if (residual <= tolerance * ritz.values[0])
      return Eigenpairs{known * ritz.vectors, ritz.values};
    // Where the image has lower rank than the block, the columns that QR makes up to fill it are
    // not yet orthogonal to the basis.
    q = thin_qr(next.q - known * (known.transpose() * next.q)).q;
  }
  return std::nullopt;
}

}  // namespace

Eigenpairs leading_eigenpairs(const SymmetricOperator& matrix, Index count) {
  if (count == 0) return {MatrixXd(matrix.size, 0), Eigen::VectorXd(0)};
  if (matrix.size >= min_size_for_lanczos) {
    if (auto found = block_lanczos(matrix, count)) return *std::move(found);
  }
  return dense_eigenpairs(matrix.dense(), count);
}

}  // namespace d2c::merge
