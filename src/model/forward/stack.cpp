#include "forward/stack.hpp"

namespace d2c::model {

ops::Rows stack_forward(const Pass& pass, const Weights& weights, const PreparedAdapter* adapter,
                        std::span<const Index> all, std::span<const Index> wanted,
                        Activations& activations) {
  static const PreparedAdapter::Layer none;
  const ModelConfig& config = pass.config;
  ops::Rows x = activations.residual.shape(std::ssize(all), config.hidden_size);
  embed(pass, weights, adapter, activations, x);
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const Layer layer{weights.layers[i], adapter == nullptr ? none : adapter->layers[i],
                      config.kinds[i], i};
    // From the last layer only the wanted rows are needed.
    const bool is_last = i + 1 == weights.layers.size();
    x = layer_forward(pass, layer, x, is_last ? wanted : all, activations);
  }
  const ops::Rows h = activations.normalised.shape(x.n, x.width);
  normalise(pass, weights.final_norm, x, h);
  if (pass.inputs != nullptr) {
    (*pass.inputs)(site_of(UpdatePlace::head, weights.layers.size() - 1), h);
  }
  return h;
}

const ops::LowRankUpdate& head_update(const PreparedAdapter* adapter) {
  static const ops::LowRankUpdate none;
  return adapter == nullptr ? none : adapter->head;
}

}  // namespace d2c::model
