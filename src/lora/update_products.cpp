#include "update_products.hpp"

#include <algorithm>
#include <array>

#include <Eigen/Core>

namespace d2c::lora {
namespace {

constexpr Index kRowWidth = 4;
constexpr Index kColWidth = 8;
/// Rows of the tall matrices that are used at a time, so that panels stay in the caches.
constexpr Index kDepthBlock = 512;

using Tile = std::array<Eigen::Array<double, 1, kColWidth>, kRowWidth>;

/// Adds the products of `depth` rows, one after another.
void add_products(const double* x, const double* y, Index depth, double* target) {
  Tile sums;
  for (Index p = 0; p < kRowWidth; ++p) {
    sums[static_cast<std::size_t>(p)] =
        Eigen::Map<const Eigen::Array<double, 1, kColWidth>>(target + p * kColWidth);
  }
  for (Index k = 0; k < depth; ++k) {
    const Eigen::Map<const Eigen::Array<double, 1, kColWidth>> y_k(y + k * kColWidth);
    for (Index p = 0; p < kRowWidth; ++p) {
      sums[static_cast<std::size_t>(p)] += x[k * kRowWidth + p] * y_k;
    }
  }
  for (Index p = 0; p < kRowWidth; ++p) {
    Eigen::Map<Eigen::Array<double, 1, kColWidth>>(target + p * kColWidth) =
        sums[static_cast<std::size_t>(p)];
  }
}

/// at(k, c) of `rank` columns, in panels of `width`.
template <class At>
std::vector<double> panels_of(Index depth, Index rank, Index width, const At& at) {
  const Index n_panels = (rank + width - 1) / width;
  std::vector<double> result(static_cast<std::size_t>(n_panels * depth * width), 0.0);
  for (Index c = 0; c < rank; ++c) {
    double* panel = result.data() + c / width * depth * width + c % width;
    for (Index k = 0; k < depth; ++k) panel[k * width] = static_cast<double>(at(k, c));
  }
  return result;
}

}  // namespace

UpdateProducts::UpdateProducts(std::span<const Factors* const> rows,
                               std::span<const Factors* const> cols)
    : rows_(pack(rows, kRowWidth)), cols_(pack(cols, kColWidth)) {
  for (const auto group : {rows, cols}) {
    for (const Factors* factors : group) {
      if (factors == nullptr) continue;
      d_in_ = factors->d_in();
      d_out_ = factors->d_out();
    }
  }
}

std::vector<UpdateProducts::Side> UpdateProducts::pack(std::span<const Factors* const> adapters,
                                                       Index width) {
  std::vector<Side> result;
  result.reserve(adapters.size());
  for (const Factors* f : adapters) {
    Side& side = result.emplace_back();
    if (f == nullptr) continue;
    side.panels = (f->rank() + width - 1) / width;
    side.a = panels_of(f->d_in(), f->rank(), width, [&](Index k, Index c) { return f->a(c, k); });
    side.b = panels_of(f->d_out(), f->rank(), width, [&](Index k, Index c) { return f->b(k, c); });
    side.scaling = f->scaling;
  }
  return result;
}

void UpdateProducts::multiply(const std::vector<double>& x, Index x_panels,
                              const std::vector<double>& y, Index y_panels, Index depth,
                              std::vector<double>& result) {
  result.assign(static_cast<std::size_t>(x_panels * y_panels * kRowWidth * kColWidth), 0.0);
  for (Index begin = 0; begin < depth; begin += kDepthBlock) {
    const Index n = std::min(kDepthBlock, depth - begin);
    for (Index p = 0; p < x_panels; ++p) {
      for (Index q = 0; q < y_panels; ++q) {
        add_products(x.data() + (p * depth + begin) * kRowWidth,
                     y.data() + (q * depth + begin) * kColWidth, n,
                     result.data() + (p * y_panels + q) * kRowWidth * kColWidth);
      }
    }
  }
}

double UpdateProducts::operator()(std::size_t row, std::size_t col) {
  const Side& x = rows_[row];
  const Side& y = cols_[col];
  if (x.panels == 0 || y.panels == 0) return 0.0;
  multiply(x.a, x.panels, y.a, y.panels, d_in_, aa_);
  multiply(x.b, x.panels, y.b, y.panels, d_out_, bb_);
  const auto n = static_cast<Index>(aa_.size());
  Eigen::Array<double, 1, kColWidth> sums = Eigen::Array<double, 1, kColWidth>::Zero();
  for (Index i = 0; i < n; i += kColWidth) {
    sums += Eigen::Map<const Eigen::Array<double, 1, kColWidth>>(aa_.data() + i) *
            Eigen::Map<const Eigen::Array<double, 1, kColWidth>>(bb_.data() + i);
  }
  return x.scaling * y.scaling * sums.sum();
}

}  // namespace d2c::lora
