#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"

namespace d2c::ops {

/// The most probable tokens of softmax(h W^T (+ the update)), with its workspace. The vocabulary is
/// walked once in blocks: no [n, vocabulary] matrix exists.
class MostProbable {
 public:
  /// @param h       [n, d]
  /// @param w       [vocabulary, d]
  /// @param update  of W; one part, or empty
  /// @param most    tokens of each distribution, all if the vocabulary is smaller; of equally
  ///                probable ones the lower
  /// @param cap     of the logits, as in CrossEntropy
  /// @return        [n] distributions
  [[nodiscard]] SoftTargets operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                                       const LowRankUpdate& update, Index most, float cap = 0.0F);

  [[nodiscard]] std::size_t held_bytes() const;

 private:
  struct Best : RunningSum {
    /// Logit and token, a heap whose first is the least: of equal logits the higher token.
    std::vector<std::pair<float, std::int32_t>> heap;
  };

  AlignedFloats logits_;     ///< [block of rows, block of the vocabulary]
  AlignedFloats projected_;  ///< [n, rank]
  std::vector<Best> best_;
};

}  // namespace d2c::ops
