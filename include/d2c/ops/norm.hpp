#pragma once

#include <span>

#include "d2c/ops/rows.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::ops {

/// y = w * x / sqrt(mean(x^2) + eps) for each row; y may be x.
/// Source: Zhang, Sennrich, "Root Mean Square Layer Normalization", 2019, equation 4.
/// @param weight  [width]
void rms_norm(ThreadTeam& threads, ConstRows x, std::span<const float> weight, float eps, Rows y);

/// y = w * (x - mean(x)) / sqrt(var(x) + eps) + b for each row; y may be x.
/// Source: Ba, Kiros, Hinton, "Layer Normalization", 2016, equation 4.
/// @param bias  [width], or empty = none
void layer_norm(ThreadTeam& threads, ConstRows x, std::span<const float> weight,
                std::span<const float> bias, float eps, Rows y);

/// y += b for each row. @param bias  [width]
void add_bias(ThreadTeam& threads, std::span<const float> bias, Rows y);

/// x *= factor
void scale(ThreadTeam& threads, float factor, Rows x);

/// y += factor x. @pre equal shapes
void add_scaled(ThreadTeam& threads, float factor, ConstRows x, Rows y);

}  // namespace d2c::ops
