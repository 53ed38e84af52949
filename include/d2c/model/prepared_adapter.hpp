#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/lora/factors.hpp"
#include "d2c/model/config.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::model {

/// An adapter in the form that the forward pass reads: factors packed, scalings folded in.
struct PreparedAdapter {
  struct Layer {
    ops::LowRankUpdate qkv;
    ops::LowRankUpdate o;
    ops::LowRankUpdate gate_up;
    ops::LowRankUpdate down;
  };
  std::vector<Layer> layers;
  ops::LowRankUpdate embedding;        ///< of the look-up only, also when embeddings are tied
  ops::LowRankUpdate head;             ///< of the output projection only
  std::map<std::string, Index> ranks;  ///< of the modules that the adapter has

  /// @param threads  that may help to pack
  /// @throws InputError naming a module that the model does not have, or whose shape differs
  PreparedAdapter(ops::ThreadTeam& threads, const ModelConfig& config,
                  const lora::FactorMap& modules);
};

}  // namespace d2c::model
