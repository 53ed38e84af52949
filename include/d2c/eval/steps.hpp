#pragma once

#include <span>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/model/decoder.hpp"

namespace d2c::eval {

/// Some of a list's examples, packed to be evaluated after those of earlier steps: no token that
/// they share with these is computed again.
struct Step {
  int part = 0;
  /// The first n_kept rows are computed by earlier steps; the first n_to_keep are continued by
  /// later ones, or were by some.
  model::TokenForest forest;
  Index n_kept = 0;
  Index n_to_keep = 0;
  std::vector<model::Target> targets;  ///< all in rows that this step computes
  /// [targets] What each of them predicts. Examples of later steps may be among these, by tokens
  /// that they share.
  struct Place {
    Index example = 0;
    Index scored = 0;  ///< index among the scored tokens of the example
  };
  std::vector<Place> places;
  std::vector<Index> examples;  ///< complete after this step, ascending

  [[nodiscard]] Index n_computed() const { return std::ssize(forest.ids) - n_kept; }
};

/// Whether steps keep the keys and values of tokens that later ones share, or compute them again.
/// The losses are the same, bit for bit.
enum class SharedTokens { kept, again };

/// Packs examples into steps, part after part.
/// @param part_of     [examples] parts from 0 up
/// @param max_tokens  that a step computes at most, unless for a single example
[[nodiscard]] std::vector<Step> pack_steps(std::span<const Example> examples,
                                           std::span<const int> part_of, LossOn loss_on,
                                           Index max_tokens, SharedTokens shared);

/// How far one adapter has come with a list of steps.
struct StepProgress {
  model::KeptTokens kept;
  std::vector<std::vector<double>>
      token_losses;  ///< [examples][scored tokens] nats; as far as known
};

}  // namespace d2c::eval
