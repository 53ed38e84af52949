#include "families/family.hpp"

namespace d2c::model {
namespace {

/// Norms stand after attention and MLP only; those of q and k span all heads.
ModelConfig read_olmo(ConfigReader& config, FamilyDefaults defaults) {
  defaults.eps = 1e-5;
  ModelConfig model = read_common(config, defaults);
  read_attention_bias(config, model);
  place_norms_after(model);
  model.head_norm = HeadNorm::joint_rms;
  return model;
}

}  // namespace

void place_norms_after(ModelConfig& model) {
  model.norm_before = false;
  model.norm_after = true;
  model.names.attention_output_norm = "post_attention_layernorm";
  model.names.mlp_output_norm = "post_feedforward_layernorm";
}

/// OLMo 2. Reference: modeling_olmo2.py of Hugging Face transformers.
ModelConfig read_olmo2(ConfigReader& config) { return read_olmo(config, {}); }

/// OLMo 3: windows in three of four layers, where positions are not scaled. Reference:
/// modeling_olmo3.py and configuration_olmo3.py of Hugging Face transformers.
ModelConfig read_olmo3(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.rope.theta = 5e5;
  defaults.has_local_rope = true;
  ModelConfig model = read_olmo(config, defaults);
  read_windows(
      config, window_or_none(config, 4096), [](Index layer) { return (layer + 1) % 4 != 0; },
      model);
  use_local_rope(model);
  return model;
}

}  // namespace d2c::model
