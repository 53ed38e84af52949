#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/tensor/matrix.hpp"

namespace d2c::model {

/// A run of tokens in a batch that continues its parent segment (or starts a sequence).
struct Segment {
  Index begin = 0;            ///< rows [begin, end) of the batch
  Index end = 0;
  Index parent = -1;          ///< earlier segment whose last token precedes row `begin`; -1 = none
  Index first_position = 0;   ///< position of row `begin` in its sequence (= length of all ancestors)
};

/// A packed ragged batch: sequences without padding, which may share prefixes.
///
/// A token attends to the tokens of its segment up to itself and to all tokens of the ancestor
/// segments. Without sharing, each sequence is one segment with no parent.
struct TokenForest {
  std::vector<std::int32_t> ids;     ///< [tokens], segment after segment
  std::vector<Segment> segments;     ///< tile [0, tokens); parents precede children
};

/// A prediction to be scored: -log p(label | the sequence that ends at `row`).
struct Target {
  Index row = 0;
  std::int32_t label = 0;
};

}  // namespace d2c::model
