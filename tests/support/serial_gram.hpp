#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "d2c/lora/module_products.hpp"

/// Inner products of whole adapters in one thread: what a job computes by all of its ranks.
namespace d2c::lora {

/// The sums over modules; one that either adapter lacks adds zero.
/// @return [rows.size(), cols.size()], row-major
inline std::vector<double> products_of(Kind kind, std::span<const FactorMap* const> rows,
                                       std::span<const FactorMap* const> cols) {
  std::map<std::string, Shape> modules;
  for (const FactorMap* adapter : rows) {
    for (const auto& [name, factors] : *adapter) modules[name] = {factors.d_in(), factors.d_out()};
  }
  ops::ThreadTeam one_thread;
  std::vector<double> result(rows.size() * cols.size());
  for (const auto& [name, shape] : modules) {
    const auto factors_of = [&name = name](std::span<const FactorMap* const> adapters) {
      std::vector<const Factors*> factors;
      for (const FactorMap* adapter : adapters) {
        const auto found = adapter->find(name);
        factors.push_back(found == adapter->end() ? nullptr : &found->second);
      }
      return factors;
    };
    const std::vector<const Factors*> visiting = factors_of(cols);
    Index rank = 0;
    for (const Factors* factors : visiting) rank += factors == nullptr ? 0 : factors->rank();
    std::vector<float> values(static_cast<std::size_t>(rank * shape.width()));
    std::span<float> left(values);
    std::vector<Components> visitors;
    for (const Factors* factors : visiting) {
      Components& visitor = visitors.emplace_back();
      if (factors == nullptr) continue;
      const auto n = static_cast<std::size_t>(factors->rank() * shape.width());
      write_components(*factors, left.first(n));
      visitor = {left.data(), factors->rank(), factors->scaling};
      left = left.subspan(n);
    }
    make_products(one_thread, kind, shape, factors_of(rows))
        ->multiply(
            visitors, [](std::size_t, std::size_t) { return true; },
            [&](std::size_t i, std::size_t j, double product) {
              result[i * cols.size() + j] += product;
            });
  }
  return result;
}

inline std::vector<double> gram(std::span<const FactorMap* const> rows,
                                std::span<const FactorMap* const> cols) {
  return products_of(Kind::update, rows, cols);
}

inline std::vector<double> factor_gram(std::span<const FactorMap* const> rows,
                                       std::span<const FactorMap* const> cols) {
  return products_of(Kind::factors, rows, cols);
}

}  // namespace d2c::lora
