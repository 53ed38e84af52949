#pragma once

#include <span>
#include <vector>

#include "d2c/eval/examples.hpp"
#include "d2c/model/token_forest.hpp"

namespace d2c::eval {

/// Which tokens of an example are scored.
enum class LossOn {
  response,  ///< those after the prompt
  all,       ///< all but the first
};

/// Examples packed for one forward pass: every distinct prefix token stands in the batch once, and
/// each example's last token, from which nothing is predicted, not at all.
struct Batch {
  model::TokenForest forest;
  std::vector<model::Target> targets;  ///< example after example, each in the order of its tokens
  std::vector<Index> examples;         ///< index of each packed example, in the order of `targets`
  std::vector<Index> target_begin;     ///< [examples.size() + 1] offsets into `targets`
};

/// Packs examples into batches of at most `max_tokens` distinct tokens (a single longer example
/// gets a batch of its own). Depends on nothing but its arguments.
/// @param max_tokens  > 0
[[nodiscard]] std::vector<Batch> pack(std::span<const Example> examples, LossOn loss_on,
                                      Index max_tokens);

/// Tokens that `batches` compute, and tokens the examples hold: their ratio is the sharing factor.
struct TokenCounts {
  Index computed = 0;  ///< distinct prefix tokens
  Index total = 0;     ///< ids of all examples
  Index targets = 0;   ///< scored predictions
};
[[nodiscard]] TokenCounts count_tokens(std::span<const Example> examples,
                                       std::span<const Batch> batches);

}  // namespace d2c::eval
