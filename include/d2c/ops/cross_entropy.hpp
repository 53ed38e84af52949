#pragma once

#include <cstdint>
#include <span>

#include "d2c/ops/linear.hpp"

namespace d2c::ops {

/// nll_i = log sum_v exp(z_iv) - z_i,label_i, with z = h W^T (+ the update), in nats.
///
/// The vocabulary is walked in blocks with a running log-sum-exp: no [n, vocabulary] matrix exists.
/// @param h       [n, d]
/// @param w       [vocabulary, d]
/// @param update  of W; one part, or empty
/// @param labels  [n], in [0, vocabulary)
/// @param nll     [n]
void cross_entropy(ConstRows h, const PackedMatrix& w, const LowRankUpdate& update,
                   std::span<const std::int32_t> labels, std::span<double> nll);

}  // namespace d2c::ops
