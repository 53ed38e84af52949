#pragma once

#include <vector>

#include "d2c/eval/batch.hpp"

namespace d2c::eval {

/// How many of a batch's examples hold each row. [rows] @pre the batch continues no other
[[nodiscard]] std::vector<float> row_counts(const Batch& batch);

}  // namespace d2c::eval
