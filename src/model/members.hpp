#pragma once

#include <string>
#include <vector>

#include "d2c/model/config.hpp"

namespace d2c::model {

/// A linear layer of the checkpoint, which adapters may target.
struct Member {
  std::string module;
  Index d_out = 0;
};
/// Layers that read the same input; their outputs stand side by side.
using Members = std::vector<Member>;

[[nodiscard]] inline Members qkv_members(const ModelConfig& config, Index layer) {
  const ModuleNames& names = config.names;
  const Index q = config.q_size();
  const Index kv = config.kv_size();
  if (!names.qkv.empty()) return {{names.in_layer(layer, names.qkv), q + 2 * kv}};
  return {{names.in_layer(layer, names.q), q},
          {names.in_layer(layer, names.k), kv},
          {names.in_layer(layer, names.v), kv}};
}

[[nodiscard]] inline Members gate_up_members(const ModelConfig& config, Index layer) {
  const ModuleNames& names = config.names;
  const Index inner = config.intermediate_size;
  if (!names.gate_up.empty()) return {{names.in_layer(layer, names.gate_up), 2 * inner}};
  return {{names.in_layer(layer, names.gate), inner}, {names.in_layer(layer, names.up), inner}};
}

}  // namespace d2c::model
