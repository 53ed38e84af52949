#pragma once

#include <span>
#include <vector>

#include "d2c/lora/module_products.hpp"

namespace d2c::lora {

/// Inner products of the factors, entry by entry, summed in double.
class FactorProducts final : public ModuleProducts {
 public:
  FactorProducts(Shape shape, std::span<const Factors* const> hosts);
  void multiply(std::span<const Components> visitors, const Wanted& wanted,
                const Take& take) override;

 private:
  struct Host {
    std::vector<float> rows;
    Index rank = 0;
  };
  Shape shape_;
  std::vector<Host> hosts_;
};

}  // namespace d2c::lora
