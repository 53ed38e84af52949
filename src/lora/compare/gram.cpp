#include "d2c/lora/gram.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/lora/module_products.hpp"

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

/// @throws InputError if the module has several shapes
Shape common_shape(std::span<const Factors* const> x, std::span<const Factors* const> y,
                   const std::string& module) {
  const Factors* first = nullptr;
  for (const auto group : {x, y}) {
    for (const Factors* factors : group) {
      if (factors == nullptr) continue;
      if (first == nullptr) first = factors;
      if (factors->d_in() == first->d_in() && factors->d_out() == first->d_out()) continue;
      throw ShapeMismatch({{}, module},
                          {fmt::format("updates have shapes [{}, {}] and [{}, {}]", first->d_out(),
                                       first->d_in(), factors->d_out(), factors->d_in()),
                           "only adapters of one base model can be compared",
                           "check that all adapters were trained for the same model"},
                          {factors->d_out(), factors->d_in()}, {first->d_out(), first->d_in()});
    }
  }
  return first == nullptr ? Shape{} : Shape{first->d_in(), first->d_out()};
}

/// The factors of one module as rows of components, in memory of their own.
class ComponentRows {
 public:
  ComponentRows(Shape shape, std::span<const Factors* const> adapters) {
    Index rows = 0;
    for (const Factors* factors : adapters) rows += factors == nullptr ? 0 : factors->rank();
    values_.resize(static_cast<std::size_t>(rows * shape.width()));
    std::span<float> left(values_);
    for (const Factors* factors : adapters) {
      Components& components = components_.emplace_back();
      if (factors == nullptr) continue;
      const auto n = static_cast<std::size_t>(factors->rank() * shape.width());
      write_components(*factors, left.first(n));
      components = {left.data(), factors->rank(), factors->scaling};
      left = left.subspan(n);
    }
  }
  [[nodiscard]] std::span<const Components> components() const { return components_; }

 private:
  std::vector<float> values_;
  std::vector<Components> components_;
};

std::vector<double> products_of(Kind kind, std::span<const FactorMap* const> rows,
                                std::span<const FactorMap* const> cols) {
  std::set<std::string> modules;
  for (const FactorMap* adapter : rows) {
    for (const auto& [module, factors] : *adapter) modules.insert(module);
  }
  ops::ThreadTeam one_thread;
  std::vector<double> result(rows.size() * cols.size());
  for (const std::string& module : modules) {
    const auto x = factors_of(rows, module);
    const auto y = factors_of(cols, module);
    const Shape shape = common_shape(x, y, module);
    const ComponentRows visitors(shape, y);
    make_products(one_thread, kind, shape, x)
        ->multiply(
            visitors.components(), [](std::size_t, std::size_t) { return true; },
            [&](std::size_t i, std::size_t j, double product) {
              result[i * cols.size() + j] += product;
            });
  }
  return result;
}

}  // namespace

std::vector<double> gram(std::span<const FactorMap* const> rows,
                         std::span<const FactorMap* const> cols) {
  return products_of(Kind::update, rows, cols);
}

std::vector<double> factor_gram(std::span<const FactorMap* const> rows,
                                std::span<const FactorMap* const> cols) {
  return products_of(Kind::factors, rows, cols);
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

FactorMap trimmed(const FactorMap& adapter, double density) {
  FactorMap result;
  for (const auto& [module, factors] : adapter) {
    result.emplace(module, trimmed(factors, density));
  }
  return result;
}

double cosine(double inner_product, double squared_norm_i, double squared_norm_j) {
  if (squared_norm_i <= 0.0 || squared_norm_j <= 0.0) return 0.0;
  return std::clamp(inner_product / std::sqrt(squared_norm_i) / std::sqrt(squared_norm_j), -1.0,
                    1.0);
}

}  // namespace d2c::lora
