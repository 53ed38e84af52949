#pragma once

#include <cstdint>
#include <vector>

#include "d2c/tensor/matrix.hpp"

namespace d2c::model {

/// Where a generated text ends.
struct GenerationLimits {
  Index most_tokens = 0;            ///< generated at most, >= 1
  std::vector<std::int32_t> stops;  ///< tokens that end it; the one that does is its last
};

}  // namespace d2c::model
