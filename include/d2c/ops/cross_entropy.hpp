#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/linear.hpp"

namespace d2c::ops {

/// A sum of exp(z) over logits that come in blocks: log(sum) + maximum is its logarithm.
struct RunningSum {
  float maximum = -std::numeric_limits<float>::infinity();
  double sum = 0.0;

  /// @return  factor for sums of exp(z - maximum) that are kept elsewhere
  double add(const float* logits, Index n);
};

/// The last layer and its loss, with its workspace.
///
///   nll_i = log sum_v exp(z_iv) - z_i,label_i, with z = h W^T (+ the update), in nats.
///
/// The vocabulary is walked in blocks with a running log-sum-exp: no [n, vocabulary] matrix exists.
class CrossEntropy {
 public:
  /// @param h       [n, d]
  /// @param w       [vocabulary, d]
  /// @param update  of W; one part, or empty
  /// @param labels  [n], in [0, vocabulary)
  /// @param nll     [n]
  /// @param cap     z becomes cap tanh(z / cap); 0 = it stays
  void operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                  const LowRankUpdate& update, std::span<const std::int32_t> labels,
                  std::span<double> nll, float cap = 0.0F);

  /// Upper bound of held_bytes() for n rows under updates of this rank.
  [[nodiscard]] static std::size_t workspace_bytes(Index n, Index rank);
  /// Bytes of workspace that this object keeps.
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  struct Sum : RunningSum {
    double label_logit = 0.0;
  };

  AlignedFloats logits_;     ///< [block of rows, block of the vocabulary]
  AlignedFloats projected_;  ///< [n, rank]
  std::vector<Sum> sums_;
};

}  // namespace d2c::ops
