#pragma once

#include <functional>
#include <string>

#include "tokenizer/field.hpp"

namespace d2c::text {

/// Rewrites a text in place.
using Normalizer = std::function<void(std::string&)>;

/// Builds the `normalizer` of a tokenizer.json.
[[nodiscard]] Normalizer make_normalizer(const Field& field);

}  // namespace d2c::text
