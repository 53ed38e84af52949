#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "d2c/lora/factors.hpp"
#include "d2c/model/model.hpp"
#include "d2c/model/prepared_adapter.hpp"
#include "d2c/model/token_forest.hpp"
#include "d2c/ops/backward.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::model {

/// The derivatives of a loss with respect to the factors of an adapter, in the joint form of
/// PreparedAdapter.
struct AdapterGradient {
  struct Layer {
    ops::UpdateGradient qkv;
    ops::UpdateGradient o;
    ops::UpdateGradient gate_up;
    ops::UpdateGradient down;
  };
  std::vector<Layer> layers;
  ops::UpdateGradient embedding;
  ops::UpdateGradient head;

  /// Zeros.
  explicit AdapterGradient(const PreparedAdapter& adapter);

  /// Derivatives with respect to A and B of each module as stored (the scaling is inside the loss).
  /// @param adapter  that the gradient is of
  [[nodiscard]] lora::FactorMap by_module(const ModelConfig& config,
                                          const PreparedAdapter& adapter) const;
};

/// The loss of a batch and its derivatives with respect to the factors of an adapter, in float32.
///
/// The forward pass keeps the input of each layer; the backward pass recomputes a layer from it. A
/// shared prefix is passed once in both directions: it gets the sum of its continuations'
/// derivatives. The bits of a loss and of a gradient depend on the model, the adapter and the batch
/// alone, not on the number of threads.
class GradientPass {
 public:
  /// @param model  outlives this object
  explicit GradientPass(const Model& model);
  ~GradientPass();

  /// @param rows     [n] the row that each target is predicted from
  /// @param targets  [n]
  /// @param weight   [n] of each target in the loss that is differentiated
  /// @param sum      of gradients, which that of this batch is added to
  /// @return         [n] cross-entropy of each target, nats, not weighted
  [[nodiscard]] std::vector<double> operator()(ops::ThreadTeam& threads, const TokenForest& forest,
                                               std::span<const Index> rows,
                                               const ops::SoftTargets& targets,
                                               std::span<const float> weight,
                                               const PreparedAdapter& adapter,
                                               AdapterGradient& sum);

  /// Bytes of activations that this object keeps, without those that the products' threads have
  /// (linear_scratch_bytes each): at most gradient_bytes of the largest batch so far.
  [[nodiscard]] std::size_t workspace_bytes() const;

 private:
  class Workspace;
  std::unique_ptr<Workspace> workspace_;
};

}  // namespace d2c::model
