#include "d2c/ops/rope.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "d2c/ops/aligned.hpp"

#include "threads/parallel.hpp"

namespace d2c::ops {

RotaryTable::RotaryTable(std::vector<double> inverse_frequencies, double attention_factor)
    : inverse_frequencies_(std::move(inverse_frequencies)), attention_factor_(attention_factor) {}

void RotaryTable::extend_to(Index n) {
  if (n <= n_positions_) return;
  const auto size = static_cast<std::size_t>(n) * inverse_frequencies_.size();
  cos_.reserve(size);
  sin_.reserve(size);
  for (; n_positions_ < n; ++n_positions_) {
    for (const double frequency : inverse_frequencies_) {
      const double angle = static_cast<double>(n_positions_) * frequency;
      cos_.push_back(static_cast<float>(attention_factor_ * std::cos(angle)));
      sin_.push_back(static_cast<float>(attention_factor_ * std::sin(angle)));
    }
  }
}

std::size_t RotaryTable::held_bytes() const {
  return ops::held_bytes(cos_) + ops::held_bytes(sin_);
}

void RotaryTable::turn(ThreadTeam& threads, Rows x, Index head_dim,
                       std::span<const Index> positions, float direction) const {
  const Index half = std::ssize(inverse_frequencies_);
  D2C_EXPECTS(std::ssize(positions) == x.n && x.width % head_dim == 0 && 2 * half <= head_dim);
  constexpr Index work_per_element = 16;
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    const Index position = positions[static_cast<std::size_t>(t)];
    D2C_EXPECTS(position >= 0 && position < n_positions_);
    const float* cos = cos_.data() + position * half;
    const float* sin = sin_.data() + position * half;
    for (float* head = x.row(t); head < x.row(t) + x.width; head += head_dim) {
#pragma omp simd
      for (Index i = 0; i < half; ++i) {
        const float first = head[i];
        const float second = head[i + half];
        const float turned = direction * sin[i];
        head[i] = first * cos[i] - second * turned;
        head[i + half] = second * cos[i] + first * turned;
      }
    }
  });
}

}  // namespace d2c::ops
