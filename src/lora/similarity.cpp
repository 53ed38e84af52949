#include "d2c/lora/similarity.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "update_products.hpp"

namespace d2c::lora {
namespace {

/// The module's factors per adapter; null where an adapter lacks it.
std::vector<const Factors*> factors_of(std::span<const FactorMap* const> adapters,
                                       const std::string& module) {
  std::vector<const Factors*> result;
  result.reserve(adapters.size());
  for (const FactorMap* adapter : adapters) {
    const auto found = adapter->find(module);
    result.push_back(found == adapter->end() ? nullptr : &found->second);
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
    const auto x = factors_of(rows, module);
    const auto y = factors_of(cols, module);
    for (const Factors* fx : x) {
      for (const Factors* fy : y) {
        if (fx != nullptr && fy != nullptr) check_same_shape(*fx, *fy, module);
      }
    }
    UpdateProducts products(x, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t j = 0; j < y.size(); ++j) {
        result[i * cols.size() + j] += products(i, j);
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
