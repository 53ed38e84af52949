#pragma once

#include <functional>
#include <vector>

#include "tokenizer/field.hpp"
#include "tokenizer/piece.hpp"

namespace d2c::text {

/// Splits the pieces that are no added tokens further, and may rewrite them.
using PreTokenizer = std::function<void(std::vector<Piece>&)>;

/// Builds the `pre_tokenizer` of a tokenizer.json.
[[nodiscard]] PreTokenizer make_pre_tokenizer(const Field& field);

}  // namespace d2c::text
