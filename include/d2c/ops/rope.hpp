#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "d2c/ops/rows.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::ops {

/// Rotary position embedding in the rotate-half layout: for i < rotary_dim / 2,
///   (x_i, x_{i + rotary_dim/2}) is rotated by the angle position * inverse_frequency_i,
/// the rest of a head passes through.
/// Source: Su et al., "RoFormer", 2021; layout of Hugging Face's apply_rotary_pos_emb.
class RotaryTable {
 public:
  RotaryTable() = default;
  /// @param inverse_frequencies  [rotary_dim / 2], radians per position
  /// @param attention_factor     multiplies cos and sin (yarn); else 1
  RotaryTable(std::vector<double> inverse_frequencies, double attention_factor);

  /// Makes sure that positions [0, n) are there.
  void extend_to(Index n);
  /// [positions, rotary_dim / 2] of the angles, times the attention factor.
  [[nodiscard]] std::span<const float> cos() const { return cos_; }
  [[nodiscard]] std::span<const float> sin() const { return sin_; }
  /// Bytes of the table.
  [[nodiscard]] std::size_t held_bytes() const;

  /// Rotates heads of `head_dim` side by side in each row of x. @pre extend_to covered positions
  /// @param positions  [x.n]
  void rotate(ThreadTeam& threads, Rows x, Index head_dim, std::span<const Index> positions) const {
    turn(threads, x, head_dim, positions, 1.0F);
  }
  /// The derivative of rotate(): rotates by the opposite angles, in place.
  void rotate_backward(ThreadTeam& threads, Rows dx, Index head_dim,
                       std::span<const Index> positions) const {
    turn(threads, dx, head_dim, positions, -1.0F);
  }

 private:
  void turn(ThreadTeam& threads, Rows x, Index head_dim, std::span<const Index> positions,
            float direction) const;

  std::vector<double> inverse_frequencies_;
  double attention_factor_ = 1.0;
  Index n_positions_ = 0;
  std::vector<float> cos_;
  std::vector<float> sin_;
};

}  // namespace d2c::ops
