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
  std::vector<model::Target> targets;
  /// [targets] What each of them predicts.
  struct Place {
    Index example = 0;
    Index scored = 0;  ///< index among the scored tokens of the example
  };
  std::vector<Place> places;
};

/// Packs examples into batches of at most `max_tokens` distinct tokens (a single longer example
/// gets a batch of its own). Depends on nothing but its arguments.
/// @param max_tokens   > 0
/// @param short_until  of the model: examples of more ids are long, and share no batch with others
[[nodiscard]] std::vector<Batch> pack(std::span<const Example> examples, LossOn loss_on,
                                      Index max_tokens, Index short_until = 0);

/// Packs the prompts of examples, to be continued: each has one target, at its last token.
/// @param room        tokens that may follow a prompt
/// @param max_tokens  distinct tokens of the prompts and the room behind each, > 0
/// @param short_until  as of pack(); the prompt and what is predicted of it count
[[nodiscard]] std::vector<Batch> pack_prompts(std::span<const Example> examples, Index room,
                                              Index max_tokens, Index short_until = 0);

/// Tokens that `batches` compute, and tokens the examples hold: their ratio is the sharing factor.
struct TokenCounts {
  Index computed = 0;  ///< distinct prefix tokens
  Index total = 0;     ///< ids of all examples
  Index targets = 0;   ///< scored predictions
};
[[nodiscard]] TokenCounts count_tokens(std::span<const Example> examples,
                                       std::span<const Batch> batches);

/// Negative log likelihood of scored tokens, as far as known. [examples][scored tokens] nats
using TokenLosses = std::vector<std::vector<double>>;
/// Puts the losses of targets into their places.
/// @param nll  [targets of all batches] nats
void add_losses(std::span<const Batch> batches, std::span<const double> nll, TokenLosses& losses);

/// Mean over an example's scored tokens, nats per token. @pre not empty
[[nodiscard]] double mean_token_loss(std::span<const double> token_losses);
/// Mean loss of each example, nats per token. [n_examples]
/// @param batches  that hold examples 0 .. n_examples - 1
/// @param nll      [targets of all batches] nats
[[nodiscard]] std::vector<double> example_losses(std::span<const Batch> batches,
                                                 std::span<const double> nll, Index n_examples);

}  // namespace d2c::eval
