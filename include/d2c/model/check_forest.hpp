#pragma once

#include <span>

#include "d2c/model/config.hpp"
#include "d2c/model/token_forest.hpp"

namespace d2c::model {

/// @throws InputError for an id or label outside the vocabulary, or for a sequence that is too long
/// for a position scaling that depends on the length
/// @pre the targets' rows are those of the forest
void check_forest(const ModelConfig& config, const TokenForest& forest,
                  std::span<const Target> targets = {});

}  // namespace d2c::model
