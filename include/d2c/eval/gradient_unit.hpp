#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"

namespace d2c::eval {

class EngineAdapter;

/// A batch, and what an adapter is to predict there.
struct Lesson {
  Batch batch{};
  ops::SoftTargets targets{};   ///< of each of the batch's targets, whose labels do not count
  std::vector<float> weight{};  ///< [targets] in the loss
};

/// Lessons whose loss is to be differentiated.
struct GradientUnit {
  std::shared_ptr<const EngineAdapter> adapter;  ///< not null
  std::span<const Lesson> lessons{};
};

struct GradientResult {
  double loss = 0.0;         ///< weighted sum of the cross-entropies of all targets, nats
  lora::FactorMap gradient;  ///< with respect to A and B of each module of the adapter
  double seconds = 0.0;      ///< as UnitResult::seconds
};

/// Takes what became of the unit with this index. Any thread; once for each unit.
using GradientReport = std::function<void(Index unit, GradientResult result)>;

}  // namespace d2c::eval
