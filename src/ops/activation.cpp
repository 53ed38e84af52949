#include "d2c/ops/activation.hpp"

#include <cmath>
#include <numbers>

#include "exp.hpp"
#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

float gelu(float x) { return 0.5F * x * (1.0F + std::erf(x / std::numbers::sqrt2_v<float>)); }

float gelu_tanh(float x) {
  constexpr float sqrt_2_over_pi = 0.79788456080286536F;
  const float inner = sqrt_2_over_pi * (x + 0.044715F * x * x * x);
  // 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2 u))
  return x / (1.0F + fast_exp(-2.0F * inner));
}

float relu(float x) { return x > 0.0F ? x : 0.0F; }

template <class Function>
void gate_with(ThreadTeam& threads, Function function, Rows gate, ConstRows up) {
  constexpr Index work_per_element = 16;
  parallel_for(threads, gate.n, gate.n * gate.width * work_per_element, [&](Index t) {
    float* g = gate.row(t);
    const float* u = up.row(t);
#pragma omp simd
    for (Index i = 0; i < gate.width; ++i) g[i] = function(g[i]) * u[i];
  });
}

}  // namespace

std::optional<Activation> activation_from_name(std::string_view name) {
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  return std::nullopt;
}

void gate_in_place(ThreadTeam& threads, Activation activation, Rows gate, ConstRows up) {
  D2C_EXPECTS(gate.n == up.n && gate.width == up.width);
  // The widest vectors for the activation of all but a few models.
  if (activation == Activation::silu) {
    constexpr Index work_per_element = 16;
    const auto gate_silu = vector_kernels().loops.gate_silu;
    return parallel_for(threads, gate.n, gate.n * gate.width * work_per_element,
                        [&](Index t) { gate_silu(gate.row(t), up.row(t), gate.width); });
  }
  // Lambdas, because a call through a function pointer does not vectorise.
  switch (activation) {
    case Activation::silu:
      return;
    case Activation::gelu:
      return gate_with(
          threads, [](float x) { return gelu(x); }, gate, up);
    case Activation::gelu_tanh:
      return gate_with(
          threads, [](float x) { return gelu_tanh(x); }, gate, up);
    case Activation::relu:
      return gate_with(
          threads, [](float x) { return relu(x); }, gate, up);
  }
}

}  // namespace d2c::ops
