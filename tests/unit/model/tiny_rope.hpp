#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "d2c/core/json.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::test {

/// Rotary positions of one layer, in the terms of modeling_rope_utils.py of transformers.
struct TinyRope {
  std::vector<double> inverse_frequencies;
  double attention_factor = 1.0;
};
/// Nothing for a layer without rotary positions.
/// @param length  of the sequence
[[nodiscard]] std::optional<TinyRope> rope_of(const json::Json& config, Index layer,
                                              std::size_t length);

/// Tokens that a token of this layer sees; nothing = all.
[[nodiscard]] std::optional<std::size_t> window_of(const json::Json& config, Index layer);

}  // namespace d2c::test
