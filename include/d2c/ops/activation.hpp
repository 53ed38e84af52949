#pragma once

#include <optional>
#include <string_view>

#include "d2c/ops/rows.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::ops {

enum class Activation {
  silu,       ///< x / (1 + exp(-x))
  gelu,       ///< x Phi(x), with erf
  gelu_tanh,  ///< 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  relu,       ///< max(x, 0)
};

/// The activation that a `hidden_act` of config.json names; nothing for an unknown name.
[[nodiscard]] std::optional<Activation> activation_from_name(std::string_view name);

/// gate = act(gate) * up, element by element. @pre equal shapes
void gate_in_place(ThreadTeam& threads, Activation activation, Rows gate, ConstRows up);

}  // namespace d2c::ops
