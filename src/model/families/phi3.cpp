#include <fmt/format.h>

#include "families/family.hpp"

namespace d2c::model {

/// Phi-3, Phi-3.5, Phi-4, Phi-4-mini. Reference: modeling_phi3.py and configuration_phi3.py of
/// Hugging Face transformers.
ModelConfig read_phi3(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.eps = 1e-5;
  defaults.max_positions = 4096;
  defaults.rope.original_positions = 4096;
  defaults.rope.yarn_is_longrope = true;
  ModelConfig model = read_common(config, defaults);
  model.names.qkv = "self_attn.qkv_proj";
  model.names.gate_up = "mlp.gate_up_proj";
  read_windows(config, window_or_none(config, 0), every_layer, model);
  // Of the model's own code, which transformers does not read: 1 is what it computes.
  for (const char* key : {"full_attn_mod", "interpolate_factor"}) {
    if (const Index value = config.positive(key, 1); value != 1) {
      config.fail(key, fmt::format("is {}", value), "only 1 is supported", "use a supported model");
    }
  }
  return model;
}

}  // namespace d2c::model
