#include "compare/factor_products.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

namespace d2c::lora {
namespace {

/// Chains of sums, so that one addition need not wait for another.
constexpr std::size_t chains = 32;

double inner_product(const float* x, const float* y, std::size_t n) {
  std::array<double, chains> sums{};
  std::size_t i = 0;
  for (; i + chains <= n; i += chains) {
    for (std::size_t c = 0; c < chains; ++c) {
      sums[c] += static_cast<double>(x[i + c]) * static_cast<double>(y[i + c]);
    }
  }
  for (; i < n; ++i) sums[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

FactorProducts::FactorProducts(Shape shape, std::span<const Factors* const> hosts) : shape_(shape) {
  hosts_.reserve(hosts.size());
  for (const Factors* factors : hosts) {
    Host& host = hosts_.emplace_back();
    if (factors == nullptr) continue;
    host.rank = factors->rank();
    host.rows.resize(static_cast<std::size_t>(host.rank * shape.width()));
    write_components(*factors, host.rows);
  }
}

void FactorProducts::multiply(std::span<const Components> visitors, const Wanted& wanted,
                              const Take& take) {
  for (std::size_t v = 0; v < visitors.size(); ++v) {
    for (std::size_t h = 0; h < hosts_.size(); ++h) {
      const Index rank = std::min(hosts_[h].rank, visitors[v].rank);
      if (rank == 0 || !wanted(h, v)) continue;
      take(h, v,
           inner_product(hosts_[h].rows.data(), visitors[v].rows,
                         static_cast<std::size_t>(rank * shape_.width())));
    }
  }
}

}  // namespace d2c::lora
