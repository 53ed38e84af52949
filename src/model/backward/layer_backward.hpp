#pragma once

#include <cstddef>
#include <span>

#include "d2c/model/gradient.hpp"
#include "d2c/ops/backward.hpp"

#include "forward/activations.hpp"
#include "forward/layer.hpp"

namespace d2c::model {

/// What the backward pass of a layer computes, written anew by every layer.
struct BackwardActivations {
  Buffer gate;       ///< [wanted, intermediate] derivative of the MLP's inner activation
  Buffer mlp_input;  ///< [wanted, hidden]
  Buffer attended;   ///< [wanted, q_size]
  Buffer qkv;        ///< [tokens, q_size + 2 kv_size]
  Buffer heads;      ///< [tokens, q_size + kv_size] before the norms of heads
  Buffer input;      ///< [tokens, hidden]
  Buffer output;     ///< [wanted, hidden] of attention or MLP, where it is not added as it is
  Buffer projected;  ///< [2, tokens, sum of ranks] u = x A^T, and its derivative
  ops::AttentionBackward attention;
  ops::Backward products;

  [[nodiscard]] std::size_t held_bytes() const;
};

/// dx += derivative of normalise(x).
void add_norm_backward(const Pass& pass, const NormWeights& weights, ops::ConstRows x,
                       ops::ConstRows dy, ops::Rows dx);

/// The derivative of layer_forward(), called after it with the same arguments.
/// @param layer        with its record
/// @param x            [tokens, hidden] the input of the layer
/// @param activations  as layer_forward() left them
/// @param dx           [tokens, hidden]: the first wanted.size() rows hold the derivative with
///                     respect to the output; becomes that with respect to the input
/// @param sum          that the derivatives with respect to the updates are added to
void layer_backward(const Pass& pass, const Layer& layer, ops::ConstRows x,
                    std::span<const Index> wanted, Activations& activations,
                    BackwardActivations& backward, AdapterGradient::Layer& sum, ops::Rows dx);

}  // namespace d2c::model
