#pragma once

#include <vector>

#include "d2c/text/tokenizer.hpp"

#include "tokenizer/field.hpp"

namespace d2c::text {

/// What is put around the ids of a single sequence.
struct Frame {
  std::vector<TokenId> prefix;
  std::vector<TokenId> suffix;
};

/// Builds the `post_processor` of a tokenizer.json.
[[nodiscard]] Frame make_frame(const Field& field);

}  // namespace d2c::text
