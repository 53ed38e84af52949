#include "d2c/lora/similarity.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <type_traits>

#include <Eigen/Core>
#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::lora {
namespace {

/// One adapter's factors of one module; B [d_out, r] has its long dimension first already.
struct Tall {
  std::vector<float> a;  ///< A^T [d_in, r]
  const Factors* factors = nullptr;
};

std::vector<float> transposed(const Matrix& m) {
  std::vector<float> result(static_cast<std::size_t>(m.size()));
  for (Index i = 0; i < m.rows(); ++i) {
    for (Index j = 0; j < m.cols(); ++j) {
      result[static_cast<std::size_t>(j * m.rows() + i)] = m(i, j);
    }
  }
  return result;
}

constexpr int kTileRows = 4;
constexpr int kTileCols = 8;

/// target [p, q] = sum_k x[k, p] y[k, q] for a tile of Rows x Cols. Each sum runs over k in
/// ascending order, whatever the tile.
template <int Rows, int Cols>
void multiply_tile(const float* x, Index x_stride, const float* y, Index y_stride, Index depth,
                   double* target) {
  using YRow = Eigen::Array<float, 1, Cols>;
  std::array<Eigen::Array<double, 1, Cols>, Rows> sums;
  for (auto& row : sums) row.setZero();
  for (Index k = 0; k < depth; ++k) {
    const Eigen::Array<double, 1, Cols> y_k =
        Eigen::Map<const YRow>(y + k * y_stride).template cast<double>();
    for (std::size_t p = 0; p < Rows; ++p) {
      sums[p] += static_cast<double>(x[k * x_stride + static_cast<Index>(p)]) * y_k;
    }
  }
  for (std::size_t p = 0; p < Rows; ++p) {
    Eigen::Map<Eigen::Array<double, 1, Cols>>(target + static_cast<Index>(p) * y_stride) = sums[p];
  }
}

/// X^T Y [r_x, r_y] of X [depth, r_x], Y [depth, r_y].
std::vector<double> inner_products(const float* x, Index r_x, const float* y, Index r_y,
                                   Index depth) {
  std::vector<double> result(static_cast<std::size_t>(r_x * r_y));
  Index p = 0;
  const auto row_block = [&]<int Rows>(std::integral_constant<int, Rows>) {
    Index q = 0;
    const auto tile = [&]<int Cols>(std::integral_constant<int, Cols>) {
      multiply_tile<Rows, Cols>(x + p, r_x, y + q, r_y, depth, result.data() + p * r_y + q);
      q += Cols;
    };
    while (q + kTileCols <= r_y) tile(std::integral_constant<int, kTileCols>{});
    while (q < r_y) tile(std::integral_constant<int, 1>{});
    p += Rows;
  };
  while (p + kTileRows <= r_x) row_block(std::integral_constant<int, kTileRows>{});
  while (p < r_x) row_block(std::integral_constant<int, 1>{});
  return result;
}

/// <dW_x, dW_y>_F of one module.
double inner(const Tall& x, const Tall& y) {
  const Factors& fx = *x.factors;
  const Factors& fy = *y.factors;
  const auto aa = inner_products(x.a.data(), fx.rank(), y.a.data(), fy.rank(), fx.d_in());
  const auto bb = inner_products(fx.b.data(), fx.rank(), fy.b.data(), fy.rank(), fx.d_out());
  double trace = 0.0;
  for (std::size_t i = 0; i < aa.size(); ++i) trace += aa[i] * bb[i];
  return fx.scaling * fy.scaling * trace;
}

/// The module's factors per adapter; without factors where an adapter lacks it.
std::vector<Tall> gather(std::span<const FactorMap* const> adapters, const std::string& module) {
  std::vector<Tall> result(adapters.size());
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const auto found = adapters[i]->find(module);
    if (found != adapters[i]->end()) result[i] = {transposed(found->second.a), &found->second};
  }
  return result;
}

void check_same_shape(const Factors& x, const Factors& y, const std::string& module) {
  if (x.d_in() == y.d_in() && x.d_out() == y.d_out()) return;
  throw InputError({{}, module}, {fmt::format("updates have shapes [{}, {}] and [{}, {}]",
                                              x.d_out(), x.d_in(), y.d_out(), y.d_in()),
                                  "only adapters of one base model can be compared",
                                  "check that all adapters were trained for the same model"});
}

}  // namespace

std::vector<double> gram(std::span<const FactorMap* const> rows,
                         std::span<const FactorMap* const> cols) {
  std::set<std::string> modules;
  for (const FactorMap* adapter : rows) {
    for (const auto& [module, factors] : *adapter) modules.insert(module);
  }
  std::vector<double> result(rows.size() * cols.size());
  for (const std::string& module : modules) {
    const auto x = gather(rows, module);
    const auto y = gather(cols, module);
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t j = 0; j < y.size(); ++j) {
        if (x[i].factors == nullptr || y[j].factors == nullptr) continue;
        check_same_shape(*x[i].factors, *y[j].factors, module);
        result[i * cols.size() + j] += inner(x[i], y[j]);
      }
    }
  }
  return result;
}

FactorMap trimmed(const FactorMap& adapter, double density) {
  D2C_EXPECTS(density > 0 && density <= 1);
  FactorMap result = adapter;
  std::vector<float> magnitudes;
  for (auto& [module, factors] : result) {
    for (Matrix* matrix : {&factors.a, &factors.b}) {
      const std::span<float> values = matrix->values();
      if (values.empty()) continue;
      magnitudes.clear();
      for (const float value : values) magnitudes.push_back(std::abs(value));
      const auto n = static_cast<double>(values.size());
      const auto kept = std::clamp(std::ceil(density * n), 1.0, n);
      const auto smallest = magnitudes.begin() + static_cast<std::ptrdiff_t>(kept) - 1;
      std::nth_element(magnitudes.begin(), smallest, magnitudes.end(), std::greater<>());
      for (float& value : values) {
        if (std::abs(value) < *smallest) value = 0.0F;
      }
    }
  }
  return result;
}

std::vector<double> factor_gram(std::span<const FactorMap* const> rows,
                                std::span<const FactorMap* const> cols) {
  std::vector<double> result;
  result.reserve(rows.size() * cols.size());
  for (const FactorMap* x : rows) {
    for (const FactorMap* y : cols) {
      double sum = 0.0;
      for (const auto& [module, fx] : *x) {
        const auto found = y->find(module);
        if (found == y->end()) continue;
        const Factors& fy = found->second;
        check_same_shape(fx, fy, module);
        const Index rank = std::min(fx.rank(), fy.rank());
        for (Index k = 0; k < rank; ++k) {
          for (Index j = 0; j < fx.d_in(); ++j)
            sum += static_cast<double>(fx.a(k, j)) * static_cast<double>(fy.a(k, j));
        }
        for (Index i = 0; i < fx.d_out(); ++i) {
          for (Index k = 0; k < rank; ++k)
            sum += static_cast<double>(fx.b(i, k)) * static_cast<double>(fy.b(i, k));
        }
      }
      result.push_back(sum);
    }
  }
  return result;
}

double cosine(double inner_product, double squared_norm_i, double squared_norm_j) {
  if (squared_norm_i <= 0.0 || squared_norm_j <= 0.0) return 0.0;
  return std::clamp(inner_product / std::sqrt(squared_norm_i) / std::sqrt(squared_norm_j), -1.0,
                    1.0);
}

}  // namespace d2c::lora
