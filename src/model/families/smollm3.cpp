#include <fmt/format.h>

#include "families/family.hpp"

namespace d2c::model {

/// SmolLM3. Reference: modeling_smollm3.py and configuration_smollm3.py of Hugging Face
/// transformers.
ModelConfig read_smollm3(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 4;
  defaults.max_positions = 32768;
  defaults.tied_embeddings = true;
  defaults.rope.theta = 2e6;
  ModelConfig model = read_common(config, defaults);
  read_attention_bias(config, model);
  model.mlp_bias = config.flag("mlp_bias", false);

  const Index interval = config.positive("no_rope_layer_interval", 4);
  const std::vector<double> has_rope = config.numbers("no_rope_layers");
  if (!has_rope.empty() && std::ssize(has_rope) < model.n_layers) {
    config.fail("no_rope_layers", fmt::format("has {} entries", has_rope.size()),
                fmt::format("the model has {} layers", model.n_layers),
                "use the model's own config.json");
  }
  for (Index layer = 0; layer < model.n_layers; ++layer) {
    const bool rotates = has_rope.empty() ? (layer + 1) % interval != 0
                                          : has_rope[static_cast<std::size_t>(layer)] != 0.0;
    if (!rotates) model.kinds[static_cast<std::size_t>(layer)].rope = no_rope;
  }

  const Index window = config.has("sliding_window") ? config.positive("sliding_window") : 0;
  const bool used = config.flag("use_sliding_window", false);
  read_windows(
      config, window,
      [&](Index layer) {
        return used && model.kinds[static_cast<std::size_t>(layer)].rope == no_rope;
      },
      model);
  return model;
}

}  // namespace d2c::model
