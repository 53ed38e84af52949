#include "families/family.hpp"

namespace d2c::model {

/// Mistral 7B. Reference: modeling_mistral.py of Hugging Face transformers.
ModelConfig read_mistral(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 8;
  defaults.max_positions = Index{4096} * 32;
  ModelConfig model = read_common(config, defaults);
  // Absent means 4096, null means none.
  read_windows(config, window_or_none(config, 4096), every_layer, model);
  return model;
}

/// Ministral 3: Mistral whose queries grow beyond the original context. Reference:
/// modeling_ministral3.py and configuration_ministral3.py of Hugging Face transformers.
ModelConfig read_ministral3(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 8;
  defaults.head_dim = 128;
  defaults.max_positions = Index{1} << 18;
  defaults.eps = 1e-5;
  defaults.rope.theta = 1e6;
  defaults.rope.knows_query_growth = true;
  defaults.rope.scaling = {{"type", "yarn"},
                           {"factor", 16.0},
                           {"beta_fast", 32.0},
                           {"beta_slow", 1.0},
                           {"mscale", 1.0},
                           {"mscale_all_dim", 1.0},
                           {"rope_theta", 1e6},
                           {"original_max_position_embeddings", 16384},
                           {"llama_4_scaling_beta", 0.1}};
  ModelConfig model = read_common(config, defaults);
  read_windows(config, window_or_none(config, 0), every_layer, model);
  return model;
}

}  // namespace d2c::model
