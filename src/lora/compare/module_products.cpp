#include "d2c/lora/module_products.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "d2c/core/error.hpp"

#include "compare/factor_products.hpp"
#include "compare/update_products.hpp"

namespace d2c::lora {

void write_components(const Factors& factors, std::span<float> rows) {
  const Index d_in = factors.d_in();
  const Index d_out = factors.d_out();
  const Index rank = factors.rank();
  const Index width = d_in + d_out;
  D2C_EXPECTS(std::ssize(rows) == rank * width);
  const float* b = factors.b.data();
  for (Index k = 0; k < rank; ++k) {
    std::copy_n(factors.a.data() + k * d_in, d_in, rows.data() + k * width);
  }
  // Blocks of B that stay in the first-level cache while they are read column by column.
  constexpr Index block = 64;
  for (Index begin = 0; begin < d_out; begin += block) {
    const Index end = std::min(begin + block, d_out);
    for (Index k = 0; k < rank; ++k) {
      float* row = rows.data() + k * width + d_in;
      for (Index i = begin; i < end; ++i) row[i] = b[i * rank + k];
    }
  }
}

std::unique_ptr<ModuleProducts> make_products(ops::ThreadTeam& threads, Kind kind, Shape shape,
                                              std::span<const Factors* const> hosts) {
  if (kind == Kind::factors) return std::make_unique<FactorProducts>(shape, hosts);
  return std::make_unique<UpdateProducts>(threads, shape, hosts);
}

Factors trimmed(const Factors& factors, double density) {
  D2C_EXPECTS(density > 0 && density <= 1);
  Factors result = factors;
  std::vector<float> magnitudes;
  for (Matrix* matrix : {&result.a, &result.b}) {
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
  return result;
}

double cosine(double inner_product, double squared_norm_i, double squared_norm_j) {
  if (squared_norm_i <= 0.0 || squared_norm_j <= 0.0) return 0.0;
  return std::clamp(inner_product / std::sqrt(squared_norm_i) / std::sqrt(squared_norm_j), -1.0,
                    1.0);
}

}  // namespace d2c::lora
