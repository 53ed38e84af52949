#pragma once

#include <functional>
#include <string>

#include "field.hpp"

namespace d2c::tokenizer {

/// Rewrites a text in place.
using Normalizer = std::function<void(std::string&)>;

/// Builds the `normalizer` of a tokenizer.json.
[[nodiscard]] Normalizer make_normalizer(const Field& field);

}  // namespace d2c::tokenizer
