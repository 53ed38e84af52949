#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/model/generation_limits.hpp"
#include "d2c/model/model.hpp"
#include "d2c/model/prepared_adapter.hpp"
#include "d2c/model/token_forest.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::model {

/// Greedy generation in float32: each token is the most probable one, of equally probable ones the
/// lower. Keys and values of what has passed are kept, so that a token passes once. A sequence ends
/// with a stop, or as long as the limits or the model's positions allow.
///
/// The tokens depend on the model, the adapter and their own prompt alone, as the bits of Decoder.
/// @param ends     [sequences] last row of each prompt, which is the last of its segment
/// @param adapter  null = the base model alone
/// @return         [sequences] generated tokens
/// @throws InputError for an id outside the vocabulary, or for a prompt that leaves no position
[[nodiscard]] std::vector<std::vector<std::int32_t>> generate(
    const Model& model, ops::ThreadTeam& threads, const TokenForest& forest,
    std::span<const Index> ends, const GenerationLimits& limits,
    const PreparedAdapter* adapter = nullptr);

}  // namespace d2c::model
