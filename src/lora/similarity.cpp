#include "d2c/lora/similarity.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <string>

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

constexpr Index kTileRows = 4;
constexpr Index kTileCols = 8;

/// target [p, q] += sum_k x[k, p] y[k, q] for a tile at most kTileRows x kTileCols. Each sum runs
/// over k in ascending order, whatever the tile.
template <class Rows, class Cols>
void add_tile(const float* x, Index x_stride, const float* y, Index y_stride, Index depth,
              Rows n_rows, Cols n_cols, double* target, Index target_stride) {
  std::array<std::array<double, kTileCols>, kTileRows> sums{};
  for (Index k = 0; k < depth; ++k) {
    for (Index p = 0; p < n_rows; ++p) {
      const double factor = x[k * x_stride + p];
      for (Index q = 0; q < n_cols; ++q) {
        sums[static_cast<std::size_t>(p)][static_cast<std::size_t>(q)] +=
            factor * static_cast<double>(y[k * y_stride + q]);
      }
    }
  }
  for (Index p = 0; p < n_rows; ++p) {
    for (Index q = 0; q < n_cols; ++q) {
      target[p * target_stride + q] +=
          sums[static_cast<std::size_t>(p)][static_cast<std::size_t>(q)];
    }
  }
}

/// X^T Y [r_x, r_y] of X [depth, r_x], Y [depth, r_y].
std::vector<double> inner_products(const float* x, Index r_x, const float* y, Index r_y,
                                   Index depth) {
  using FullRows = std::integral_constant<Index, kTileRows>;
  using FullCols = std::integral_constant<Index, kTileCols>;
  std::vector<double> result(static_cast<std::size_t>(r_x * r_y));
  for (Index p = 0; p < r_x; p += kTileRows) {
    for (Index q = 0; q < r_y; q += kTileCols) {
      double* target = result.data() + p * r_y + q;
      if (r_x - p >= kTileRows && r_y - q >= kTileCols) {
        add_tile(x + p, r_x, y + q, r_y, depth, FullRows{}, FullCols{}, target, r_y);
      } else {
        add_tile(x + p, r_x, y + q, r_y, depth, std::min(kTileRows, r_x - p),
                 std::min(kTileCols, r_y - q), target, r_y);
      }
    }
  }
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

double cosine(double inner_product, double squared_norm_i, double squared_norm_j) {
  if (squared_norm_i <= 0.0 || squared_norm_j <= 0.0) return 0.0;
  return std::clamp(inner_product / std::sqrt(squared_norm_i) / std::sqrt(squared_norm_j), -1.0,
                    1.0);
}

}  // namespace d2c::lora
