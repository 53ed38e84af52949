#pragma once

#include <span>

#include "forward/layer.hpp"

namespace d2c::model {

/// The embedding, all layers and the final norm.
///
/// @param all     0 .. tokens - 1
/// @param wanted  rows whose output is wanted, ascending
/// @return        [wanted.size(), hidden] what the output projection reads
[[nodiscard]] ops::Rows stack_forward(const Pass& pass, const Weights& weights,
                                      const PreparedAdapter* adapter, std::span<const Index> all,
                                      std::span<const Index> wanted, Activations& activations);

/// The update of the output projection; empty without an adapter.
[[nodiscard]] const ops::LowRankUpdate& head_update(const PreparedAdapter* adapter);

}  // namespace d2c::model
