#pragma once

#include <cstdint>

#include "d2c/model/config.hpp"
#include "d2c/model/token_forest.hpp"

namespace d2c::model {

/// @throws InputError for an id outside the vocabulary
void check_token(std::int32_t token, Index vocab_size);

/// @throws InputError for an id outside the vocabulary, or for a sequence that is too long for a
/// position scaling that depends on the length
void check_forest(const ModelConfig& config, const TokenForest& forest);

}  // namespace d2c::model
