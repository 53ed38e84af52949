#include "distill/adam.hpp"

#include <cmath>
#include <numbers>

#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"

namespace d2c::job {
namespace {

constexpr double keep_mean = 0.9;
constexpr double keep_square = 0.999;
constexpr double epsilon_share = 1e-3;

}  // namespace

void Adam::step(std::span<float> x, std::span<const double> gradient, double rate) {
  D2C_EXPECTS(x.size() == mean_.size() && gradient.size() == mean_.size());
  if (steps_++ == 0 && !gradient.empty()) {
    double sum = 0.0;
    for (const double g : gradient) sum += g * g;
    epsilon_ = epsilon_share * std::sqrt(sum / static_cast<double>(gradient.size()));
  }
  const double mean_share = 1.0 - std::pow(keep_mean, steps_);
  const double square_share = 1.0 - std::pow(keep_square, steps_);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double g = gradient[i];
    const double mean = keep_mean * static_cast<double>(mean_[i]) + (1.0 - keep_mean) * g;
    const double square =
        keep_square * static_cast<double>(square_[i]) + (1.0 - keep_square) * g * g;
    mean_[i] = static_cast<float>(mean);
    square_[i] = static_cast<float>(square);
    const double length = std::sqrt(square / square_share) + epsilon_;
    if (length > 0.0) {
      x[i] = static_cast<float>(static_cast<double>(x[i]) - rate * (mean / mean_share) / length);
    }
  }
}

std::size_t Adam::state_bytes(std::size_t n) {
  return 2 * n * sizeof(float) + sizeof(epsilon_) + sizeof(steps_);
}

void Adam::append_state(std::vector<std::byte>& bytes) const {
  append_wire(bytes, std::span(mean_));
  append_wire(bytes, std::span(square_));
  append_wire(bytes, std::span(&epsilon_, 1));
  append_wire(bytes, std::span(&steps_, 1));
}

void Adam::take_state(std::span<const std::byte>& bytes) {
  take_wire(bytes, std::span(mean_));
  take_wire(bytes, std::span(square_));
  take_wire(bytes, std::span(&epsilon_, 1));
  take_wire(bytes, std::span(&steps_, 1));
}

double cosine_decay(int step, int n_steps) {
  return 0.5 * (1.0 + std::cos(std::numbers::pi * step / n_steps));
}

}  // namespace d2c::job
