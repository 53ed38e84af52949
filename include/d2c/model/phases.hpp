#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace d2c::model {

/// What a forward pass spends its time with.
enum class Phase {
  linear,         ///< base weights of the linear layers
  low_rank,       ///< updates of the adapter
  attention,      ///< scores, softmax, weighted values
  elementwise,    ///< embedding, norms, biases, rotary embedding, activation
  cross_entropy,  ///< output projection and log-softmax
};
inline constexpr std::array<std::string_view, 5> phase_names{"linear", "LoRA", "attention",
                                                             "elementwise", "cross-entropy"};

/// Seconds of the calling thread's processor time, by Phase.
using PhaseSeconds = std::array<double, phase_names.size()>;

}  // namespace d2c::model
