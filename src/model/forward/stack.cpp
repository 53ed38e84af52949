#include "forward/stack.hpp"

namespace d2c::model {

ops::Rows stack_forward(const Pass& pass, const Weights& weights, const PreparedAdapter* adapter,
                        std::span<const Index> all, std::span<const Index> wanted,
                        Activations& activations, std::span<ops::KeyMemory> kept) {
  const ModelConfig& config = pass.config;
  ops::Rows x = activations.residual.shape(std::ssize(all), config.hidden_size);
  embed(pass, weights, adapter, activations, x);
  for (Index index = 0; index < config.n_layers; ++index) {
    const auto i = static_cast<std::size_t>(index);
    Layer layer{weights.layers[i], adapter == nullptr ? nullptr : &adapter->layers[i],
                config.kinds[i]};
    if (!kept.empty()) layer.kept = &kept[i];
    // From the last layer only the wanted rows are needed.
    x = layer_forward(pass, layer, x, index + 1 == config.n_layers ? wanted : all, activations);
  }
  const ops::Rows h = activations.normalised.shape(x.n, x.width);
  normalise(pass, weights.final_norm, x, h);
  return h;
}

const ops::LowRankUpdate& head_update(const PreparedAdapter* adapter) {
  static const ops::LowRankUpdate none;
  return adapter == nullptr ? none : adapter->head;
}

}  // namespace d2c::model
