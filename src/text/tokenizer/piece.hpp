#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "d2c/text/tokenizer.hpp"

namespace d2c::text {

/// A part of the text on its way to tokens.
struct Piece {
  std::string text;
  bool at_start = false;      ///< begins where the whole text begins
  std::optional<TokenId> id;  ///< an added token: not split any further
};

/// A byte range [begin, end) of a text.
using Range = std::pair<std::size_t, std::size_t>;

}  // namespace d2c::text
