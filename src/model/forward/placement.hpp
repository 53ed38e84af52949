#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "d2c/model/check_forest.hpp"
#include "d2c/model/token_forest.hpp"

namespace d2c::model {

/// @throws InputError for an id outside the vocabulary
void check_token(std::int32_t token, Index vocab_size);

/// Where the rows of a forest stand, and which of them are looked at.
struct Placement {
  std::vector<Index> positions;    ///< [tokens]
  std::vector<Index> all_rows;     ///< 0 .. tokens - 1
  std::vector<Index> target_rows;  ///< ascending, each once

  /// @param rows  that targets are predicted from
  void place(const TokenForest& forest, std::span<const Index> rows);

  /// Index of a row in target_rows.
  [[nodiscard]] Index target_row(Index row) const;
  [[nodiscard]] std::size_t held_bytes() const;
};

}  // namespace d2c::model
