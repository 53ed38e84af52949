#include <algorithm>
#include <bit>
#include <vector>

#include "d2c/core/digest.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c::lora {
namespace {

template <class T>
std::uint64_t hash_values(std::span<const T> values) {
  return Digest().update(std::as_bytes(values)).value();
}

}  // namespace

bool changes_nothing(const FactorMap& modules) {
  return std::ranges::all_of(modules, [](const auto& entry) {
    const Factors& factors = entry.second;
    const auto is_zero = [](float value) { return value == 0.0F; };
    return factors.scaling == 0.0 || std::ranges::all_of(factors.b.values(), is_zero) ||
           std::ranges::all_of(factors.a.values(), is_zero);
  });
}

Index largest_rank(const FactorMap& modules) {
  Index largest = 0;
  for (const auto& [name, factors] : modules) largest = std::max(largest, factors.rank());
  return largest;
}

std::uint64_t fingerprint(const FactorMap& modules) {
  std::vector<std::uint64_t> parts;
  for (const auto& [name, factors] : modules) {
    parts.push_back(Digest().update(name).value());
    for (const Matrix* matrix : {&factors.a, &factors.b}) {
      parts.push_back(static_cast<std::uint64_t>(matrix->rows()));
      parts.push_back(static_cast<std::uint64_t>(matrix->cols()));
      parts.push_back(hash_values(matrix->values()));
    }
    parts.push_back(std::bit_cast<std::uint64_t>(factors.scaling));
  }
  return hash_values(std::span<const std::uint64_t>(parts));
}

}  // namespace d2c::lora
