#pragma once

#include <cstdint>
#include <vector>

#include "d2c/ops/segment.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::model {

using ops::Segment;

/// A packed ragged batch: sequences without padding, which may share prefixes.
///
/// A token attends to the tokens of its segment up to itself and to all tokens of the ancestor
/// segments. Without sharing, each sequence is one segment with no parent.
struct TokenForest {
  std::vector<std::int32_t> ids;  ///< [tokens], segment after segment
  std::vector<Segment> segments;  ///< tile [0, tokens); parents precede children
  /// Whether its sequences are longer than ModelConfig::short_until(): all of them, or none.
  bool is_long = false;
};

/// A prediction to be scored: -log p(label | the sequence that ends at `row`).
struct Target {
  Index row = 0;
  std::int32_t label = 0;
};

}  // namespace d2c::model
