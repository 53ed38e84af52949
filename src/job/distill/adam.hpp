#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace d2c::job {

/// Adam (Kingma and Ba 2015) for the values of one matrix, with the running means in float32.
///
///   m = 0.9 m + 0.1 g,  v = 0.999 v + 0.001 g^2,
///   x -= rate (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + e)
///
/// e is a fixed share of the first gradient's root mean square: the step does not depend on the
/// scale of the loss, and values without a gradient worth mentioning stay where they are.
class Adam {
 public:
  explicit Adam(std::size_t n) : mean_(n, 0.0F), square_(n, 0.0F) {}

  /// @param x         [n]
  /// @param gradient  [n]
  void step(std::span<float> x, std::span<const double> gradient, double rate);

  /// Bytes of its state.
  [[nodiscard]] static std::size_t state_bytes(std::size_t n);
  void append_state(std::vector<std::byte>& bytes) const;
  void take_state(std::span<const std::byte>& bytes);

 private:
  std::vector<float> mean_;
  std::vector<float> square_;
  double epsilon_ = 0.0;
  int steps_ = 0;
};

/// Share of the learning rate in step 0 .. n_steps - 1: half a cosine from 1 down to almost 0.
[[nodiscard]] double cosine_decay(int step, int n_steps);

}  // namespace d2c::job
