#pragma once

#include <vector>

#include "d2c/model/config.hpp"

#include "device/memory.hpp"

namespace d2c::eval::device {

/// The rotary tables of a model on a device, as ops::RotaryTable has them.
class Rotary {
 public:
  Rotary(Memory& memory, const model::ModelConfig& config);

  /// Makes sure that positions [0, n) are there.
  void extend_to(Index n, bool is_long);

  struct Table {
    const float* cos = nullptr;  ///< [positions, half]
    const float* sin = nullptr;
    Index half = 0;
  };
  /// Empty for a layer without rotary positions.
  [[nodiscard]] Table of(const model::LayerKind& kind, bool is_long) const;

 private:
  struct Stored {
    std::vector<double> frequencies;
    double factor;
    Array<float> cos;
    Array<float> sin;
    Index n = 0;
  };
  [[nodiscard]] std::size_t index(std::size_t rope, bool is_long) const;

  std::vector<Stored> tables_;  ///< [ropes, short or long]
};

}  // namespace d2c::eval::device
