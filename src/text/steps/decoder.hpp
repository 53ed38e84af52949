#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tokenizer/field.hpp"

namespace d2c::text {

/// Rewrites a list of tokens in place; the text is their concatenation.
using Decoder = std::function<void(std::vector<std::string>&)>;

/// Builds the `decoder` of a tokenizer.json.
[[nodiscard]] Decoder make_decoder(const Field& field);

}  // namespace d2c::text
