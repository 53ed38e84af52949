#pragma once

#include <string>
#include <vector>

#include "d2c/model/config.hpp"
#include "d2c/model/input_sites.hpp"

#include "members.hpp"

namespace d2c::model {

/// Calls visit(place, layer, members, d_in) for every joint update that an adapter can have.
template <class Visit>
void for_each_update(const ModelConfig& config, Visit visit) {
  const ModuleNames& names = config.names;
  const Index hidden = config.hidden_size;
  const Index inner = config.intermediate_size;
  visit(UpdatePlace::embedding, Index{0}, Members{{names.embedding, hidden}}, config.vocab_size);
  for (Index layer = 0; layer < config.n_layers; ++layer) {
    const auto at = [&](const std::string& module) { return names.in_layer(layer, module); };
    visit(UpdatePlace::qkv, layer, qkv_members(config, layer), hidden);
    visit(UpdatePlace::o, layer, Members{{at(names.o), hidden}}, config.q_size());
    visit(UpdatePlace::gate_up, layer, gate_up_members(config, layer), hidden);
    visit(UpdatePlace::down, layer, Members{{at(names.down), hidden}}, inner);
  }
  visit(UpdatePlace::head, Index{0}, Members{{names.head, config.vocab_size}}, hidden);
}

/// The part of an adapter, or of what has the same parts, that applies at a place.
template <class Adapter>
[[nodiscard]] auto& update_at(Adapter& adapter, UpdatePlace place, Index layer) {
  const auto in_layer = [&]() -> auto& { return adapter.layers[static_cast<std::size_t>(layer)]; };
  switch (place) {
    case UpdatePlace::embedding:
      return adapter.embedding;
    case UpdatePlace::qkv:
      return in_layer().qkv;
    case UpdatePlace::o:
      return in_layer().o;
    case UpdatePlace::gate_up:
      return in_layer().gate_up;
    case UpdatePlace::down:
      return in_layer().down;
    case UpdatePlace::head:
      break;
  }
  return adapter.head;
}

}  // namespace d2c::model
