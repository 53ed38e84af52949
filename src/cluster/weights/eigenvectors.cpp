#include <algorithm>
#include <cmath>
#include <numeric>

#include "weights/similarity.hpp"

namespace d2c::cluster {
namespace {

using Column = std::vector<double>;

double dot(std::span<const double> a, std::span<const double> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

Column times(const SymmetricMatrix& matrix, const Column& x) {
  Column y(x.size());
  for (int i = 0; i < matrix.n; ++i) y[static_cast<std::size_t>(i)] = dot(matrix.row(i), x);
  return y;
}

/// Gram-Schmidt, twice for accuracy. A column that vanishes is left zero.
void orthonormalise(std::vector<Column>& columns) {
  for (std::size_t j = 0; j < columns.size(); ++j) {
    const double before = std::sqrt(dot(columns[j], columns[j]));
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t i = 0; i < j; ++i) {
        const double c = dot(columns[i], columns[j]);
        for (std::size_t row = 0; row < columns[j].size(); ++row)
          columns[j][row] -= c * columns[i][row];
      }
    const double norm = std::sqrt(dot(columns[j], columns[j]));
    const double scale = norm > 1e-12 * before && norm > 0 ? 1 / norm : 0;
    for (double& value : columns[j]) value *= scale;
  }
}

/// Cyclic Jacobi. `a` becomes diagonal; the columns of `v` are rotated alike.
/// Source: Golub, Van Loan, "Matrix computations", section 8.5.
void diagonalise(std::vector<Column>& a, std::vector<Column>& v) {
  const std::size_t n = a.size();
  constexpr int max_sweeps = 30;
  for (int sweep = 0; sweep < max_sweeps; ++sweep) {
    double off = 0;
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) off += a[p][q] * a[p][q];
    if (off < 1e-26) return;
    for (std::size_t p = 0; p < n; ++p)
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a[p][q] == 0) continue;
        const double tau = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t = (tau >= 0 ? 1 : -1) / (std::abs(tau) + std::sqrt(1 + tau * tau));
        const double c = 1 / std::sqrt(1 + t * t);
        const double s = t * c;
        for (std::size_t i = 0; i < n; ++i) {
          const double ip = a[i][p];
          const double iq = a[i][q];
          a[i][p] = c * ip - s * iq;
          a[i][q] = s * ip + c * iq;
        }
        for (std::size_t i = 0; i < n; ++i) {
          const double pi = a[p][i];
          const double qi = a[q][i];
          a[p][i] = c * pi - s * qi;
          a[q][i] = s * pi + c * qi;
        }
        for (std::size_t row = 0; row < v[p].size(); ++row) {
          const double vp = v[p][row];
          const double vq = v[q][row];
          v[p][row] = c * vp - s * vq;
          v[q][row] = s * vp + c * vq;
        }
      }
  }
}

/// Rayleigh-Ritz: turns an orthonormal basis into approximate eigenvectors, largest first.
/// @return  their eigenvalues
std::vector<double> ritz(const SymmetricMatrix& matrix, std::vector<Column>& basis) {
  const std::size_t m = basis.size();
  std::vector<Column> projected(m, Column(m));
  for (std::size_t j = 0; j < m; ++j) {
    const Column image = times(matrix, basis[j]);
    for (std::size_t i = 0; i < m; ++i) projected[i][j] = dot(basis[i], image);
  }
  for (std::size_t i = 0; i < m; ++i)
    for (std::size_t j = 0; j < i; ++j)
      projected[i][j] = projected[j][i] = (projected[i][j] + projected[j][i]) / 2;
  diagonalise(projected, basis);
  std::vector<std::size_t> order(m);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return projected[a][a] > projected[b][b]; });
  std::vector<Column> sorted;
  std::vector<double> values;
  for (const std::size_t i : order) {
    sorted.push_back(std::move(basis[i]));
    values.push_back(projected[i][i]);
  }
  basis = std::move(sorted);
  return values;
}

}  // namespace

std::vector<double> leading_eigenvectors(const SymmetricMatrix& matrix, int count,
                                         CounterRng& rng) {
  constexpr int extra = 4;
  constexpr int max_rounds = 40;
  constexpr int products_per_round = 5;
  std::vector<Column> basis(static_cast<std::size_t>(std::min(matrix.n, count + extra)));
  for (Column& column : basis)
    for (int i = 0; i < matrix.n; ++i) column.push_back(rng.uniform() - 0.5);
  orthonormalise(basis);
  std::vector<double> before;
  for (int round = 0; round < max_rounds; ++round) {
    for (int product = 0; product < products_per_round; ++product) {
      for (Column& column : basis) column = times(matrix, column);
      orthonormalise(basis);
    }
    std::vector<double> values = ritz(matrix, basis);
    double change = before.empty() ? 1 : 0;
    for (std::size_t i = 0; i < before.size() && i < static_cast<std::size_t>(count); ++i)
      change = std::max(change, std::abs(values[i] - before[i]));
    if (change < 1e-10) break;
    before = std::move(values);
  }
  std::vector<double> result;
  for (int i = 0; i < matrix.n; ++i)
    for (int j = 0; j < count; ++j)
      result.push_back(basis[static_cast<std::size_t>(j)][static_cast<std::size_t>(i)]);
  return result;
}

}  // namespace d2c::cluster
