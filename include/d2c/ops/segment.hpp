#pragma once

#include "d2c/tensor/matrix.hpp"

namespace d2c::ops {

/// A run of tokens in a batch that continues its parent segment (or starts a sequence).
struct Segment {
  Index begin = 0;  ///< rows [begin, end) of the batch
  Index end = 0;
  Index parent = -1;  ///< earlier segment whose last token precedes row `begin`; -1 = none
  Index first_position =
      0;  ///< position of row `begin` in its sequence (= length of all ancestors)

  [[nodiscard]] Index length() const { return end - begin; }
};

}  // namespace d2c::ops
