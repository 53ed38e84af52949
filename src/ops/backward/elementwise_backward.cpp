#include <cmath>
#include <numbers>

#include "d2c/ops/backward.hpp"

#include "exp.hpp"
#include "row_statistics.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index work_per_element = 16;

/// An activation and its derivative at x.
struct Slope {
  float value;
  float derivative;
};

Slope silu(float x) {
  const float sigmoid = 1.0F / (1.0F + fast_exp(-x));
  return {x * sigmoid, sigmoid * (1.0F + x * (1.0F - sigmoid))};
}

Slope gelu(float x) {
  constexpr float inverse_sqrt_2_pi = 0.3989422804014327F;
  const float cdf = 0.5F * (1.0F + std::erf(x / std::numbers::sqrt2_v<float>));
  return {x * cdf, cdf + x * inverse_sqrt_2_pi * fast_exp(-0.5F * x * x)};
}

Slope gelu_tanh(float x) {
  constexpr float sqrt_2_over_pi = 0.79788456080286536F;
  const float inner = sqrt_2_over_pi * (x + 0.044715F * x * x * x);
  const float slope_of_inner = sqrt_2_over_pi * (1.0F + 3.0F * 0.044715F * x * x);
  // x s(2u) with the logistic function s, as in gate_in_place().
  const float logistic = 1.0F / (1.0F + fast_exp(-2.0F * inner));
  return {x * logistic, logistic + x * 2.0F * slope_of_inner * logistic * (1.0F - logistic)};
}

Slope relu(float x) { return x > 0.0F ? Slope{x, 1.0F} : Slope{0.0F, 0.0F}; }

template <class Function>
void gate_backward_with(ThreadTeam& threads, Function function, ConstRows dy, Rows gate, Rows up) {
  parallel_for(threads, gate.n, gate.n * gate.width * work_per_element, [&](Index t) {
    const float* d = dy.row(t);
    float* g = gate.row(t);
    float* u = up.row(t);
#pragma omp simd
    for (Index i = 0; i < gate.width; ++i) {
      const Slope slope = function(g[i]);
      g[i] = d[i] * u[i] * slope.derivative;
      u[i] = d[i] * slope.value;
    }
  });
}

}  // namespace

// With f = 1 / sqrt(mean(x^2) + eps) and g = w dy: dx = f g - x f^3 mean(g x).
void add_rms_norm_backward(ThreadTeam& threads, ConstRows x, std::span<const float> weight,
                           float eps, ConstRows dy, Rows dx) {
  D2C_EXPECTS(x.n == dy.n && x.n == dx.n && x.width == dy.width && x.width == dx.width);
  D2C_EXPECTS(std::ssize(weight) == x.width);
  const float* w = weight.data();
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    const float* from = x.row(t);
    const float* d = dy.row(t);
    float* to = dx.row(t);
    const float factor = inverse_rms(from, x.width, eps);
    const float along =
        mean(x.width, sum_in_lanes(x.width, [&](Index i) { return w[i] * d[i] * from[i]; }));
    const float shrink = factor * factor * factor * along;
#pragma omp simd
    for (Index i = 0; i < x.width; ++i) to[i] += factor * (w[i] * d[i]) - shrink * from[i];
  });
}

// With y' = (x - mean) f and g = w dy: dx = f (g - mean(g) - y' mean(g y')).
void add_layer_norm_backward(ThreadTeam& threads, ConstRows x, std::span<const float> weight,
                             float eps, ConstRows dy, Rows dx) {
  D2C_EXPECTS(x.n == dy.n && x.n == dx.n && x.width == dy.width && x.width == dx.width);
  D2C_EXPECTS(std::ssize(weight) == x.width);
  const float* w = weight.data();
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    const float* from = x.row(t);
    const float* d = dy.row(t);
    float* to = dx.row(t);
    const Spread spread = spread_of(from, x.width, eps);
    const float centre = spread.centre;
    const float factor = spread.inverse_deviation;
    const float level = mean(x.width, sum_in_lanes(x.width, [&](Index i) { return w[i] * d[i]; }));
    const float along = mean(x.width, sum_in_lanes(x.width, [&](Index i) {
                               return w[i] * d[i] * ((from[i] - centre) * factor);
                             }));
#pragma omp simd
    for (Index i = 0; i < x.width; ++i) {
      to[i] += factor * (w[i] * d[i] - level - (from[i] - centre) * factor * along);
    }
  });
}

void gate_backward_in_place(ThreadTeam& threads, Activation activation, ConstRows dy, Rows gate,
                            Rows up) {
  D2C_EXPECTS(gate.n == up.n && gate.width == up.width && dy.n == gate.n);
  D2C_EXPECTS(dy.width == gate.width);
  switch (activation) {
    case Activation::silu:
      return gate_backward_with(
          threads, [](float x) { return silu(x); }, dy, gate, up);
    case Activation::gelu:
      return gate_backward_with(
          threads, [](float x) { return gelu(x); }, dy, gate, up);
    case Activation::gelu_tanh:
      return gate_backward_with(
          threads, [](float x) { return gelu_tanh(x); }, dy, gate, up);
    case Activation::relu:
      return gate_backward_with(
          threads, [](float x) { return relu(x); }, dy, gate, up);
  }
}

}  // namespace d2c::ops
