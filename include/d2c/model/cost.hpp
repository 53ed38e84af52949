#pragma once

#include <cstddef>
#include <span>

#include "d2c/model/config.hpp"
#include "d2c/model/token_forest.hpp"

namespace d2c::model {

/// Size of a batch, for planning.
struct BatchSize {
  Index n_tokens = 0;    ///< distinct tokens
  Index n_segments = 0;  ///< at most n_tokens
  Index n_targets = 0;
  Index longest = 0;  ///< tokens of the longest sequence
};

[[nodiscard]] BatchSize size_of(const TokenForest& forest, Index n_targets);

/// Upper bound of a decoder's workspace in bytes.
/// @param adapter_rank  largest sum of the ranks of modules that read the same input (q, k, v)
[[nodiscard]] std::size_t activation_bytes(const ModelConfig& config, const BatchSize& batch,
                                           Index adapter_rank, Index n_threads);

/// The same of a GradientPass: what its forward pass holds, the kept input of each layer, one layer
/// computed again, and the derivatives of what it computes.
[[nodiscard]] std::size_t gradient_bytes(const ModelConfig& config, const BatchSize& batch,
                                         Index adapter_rank, Index n_threads);

/// Weights that every token is multiplied with: the linear layers of all decoder layers.
[[nodiscard]] double parameters_per_token(const ModelConfig& config);
/// Weights that every target is multiplied with: the output projection.
[[nodiscard]] double parameters_per_target(const ModelConfig& config);
/// Floating-point operations of one batch: 2 per weight and token, and those of attention as if
/// every token saw `longest / 2` others.
[[nodiscard]] double flops(const ModelConfig& config, const BatchSize& batch);

/// Floating-point operations of one forward pass, counted exactly.
struct Work {
  double useful = 0.0;  ///< every layer for every distinct token, attention, the logits of targets
  double done = 0.0;    ///< what the decoder computes: less, since only targets need the last layer
};
/// @param adapter_parameters  of all layers together: sum of rank * (d_in + d_out)
[[nodiscard]] Work work(const ModelConfig& config, const TokenForest& forest,
                        std::span<const Target> targets, double adapter_parameters);

}  // namespace d2c::model
