#pragma once

#include <memory>

#include "d2c/eval/loss_engine.hpp"
#include "d2c/model/model.hpp"

namespace d2c::eval {

/// @param model    outlives the engine
/// @param threads  that evaluate, the caller of LossEngine::losses included; >= 1
[[nodiscard]] std::unique_ptr<LossEngine> make_cpu_engine(const model::Model& model, int threads);

}  // namespace d2c::eval
