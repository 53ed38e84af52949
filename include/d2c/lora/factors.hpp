#pragma once

#include <map>
#include <string>

#include "d2c/tensor/matrix.hpp"

namespace d2c::lora {

/// LoRA update of one module: delta W [d_out, d_in] = scaling * B A.
struct Factors {
  Matrix a;              ///< A [r, d_in]
  Matrix b;              ///< B [d_out, r]
  double scaling = 1.0;  ///< alpha / r, or alpha / sqrt(r) with rsLoRA

  [[nodiscard]] Index rank() const { return a.rows(); }
  [[nodiscard]] Index d_in() const { return a.cols(); }
  [[nodiscard]] Index d_out() const { return b.rows(); }
};

/// Module name as the base model spells it ("model.layers.0.self_attn.q_proj") to its factors.
/// Ordered, so that every walk over modules is the same on every rank.
using FactorMap = std::map<std::string, Factors>;

}  // namespace d2c::lora
