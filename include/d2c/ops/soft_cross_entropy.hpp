#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/backward.hpp"
#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/linear.hpp"

namespace d2c::ops {

/// Distributions over the vocabulary to learn from: of each the most probable tokens, and all
/// others as one class with what is left to 1. One token with probability 1 is a label.
struct SoftTargets {
  std::vector<std::int64_t> begin{0};  ///< [n + 1] offsets into the others
  std::vector<std::int32_t> tokens;    ///< ascending within a distribution, each once
  std::vector<float> probabilities;

  [[nodiscard]] Index size() const { return static_cast<Index>(begin.size()) - 1; }
};

/// The last layer, its cross-entropy against soft targets, and the derivative of that.
///
///   loss_i = -sum_v p_iv log q_iv - p_i,rest log q_i,rest,  q_i = softmax(z_i),
///   dz_iv = weight_i (q_iv - p_iv), and for v among the rest weight_i (q_iv - p_i,rest q_iv /
///   q_i,rest),  z = h W^T (+ the update).
///
/// With capped logits dz is multiplied by 1 - (z / cap)^2.
///
/// The vocabulary is walked twice in blocks: no [n, vocabulary] matrix exists.
class SoftCrossEntropy {
 public:
  /// @param weight  [n] of each target in the sum that is differentiated
  /// @param loss    [n] nats, not weighted
  /// @param dh      [n, d], overwritten
  /// @param sum     that the derivatives with respect to the update are added to; not looked at
  ///                where it is empty
  /// @param cap     of the logits, as in CrossEntropy
  void operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                  const LowRankUpdate& update, const SoftTargets& targets,
                  std::span<const float> weight, std::span<double> loss, Rows dh,
                  UpdateGradient& sum, float cap = 0.0F);

  /// @param n     targets; @param rank  of the update
  [[nodiscard]] static std::size_t workspace_bytes(Index n, Index rank, Index n_threads);
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  /// What a pass over the vocabulary learns of one distribution.
  struct Sums : RunningSum {
    double sum_listed = 0.0;  ///< of exp(z - maximum) over listed tokens
    double expected = 0.0;    ///< sum of p z over listed tokens
    double listed = 0.0;      ///< sum of p
    std::int64_t next = 0;    ///< listed token that comes next
  };
  void measure(const SoftTargets& targets, std::span<double> loss);
  void differentiate(Index row, float* z, Index first, Index count, const SoftTargets& targets,
                     float weight);

  AlignedFloats logits_;     ///< [block of rows, block of the vocabulary]
  AlignedFloats slopes_;     ///< as logits_: derivative of a capped logit
  AlignedFloats projected_;  ///< [2, n, rank]: u = h A^T and its derivative
  std::vector<Sums> sums_;
  Backward backward_;
};

}  // namespace d2c::ops
