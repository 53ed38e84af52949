#include "families/family.hpp"

namespace d2c::model {

/// StableLM 2. Reference: modeling_stablelm.py of Hugging Face transformers.
ModelConfig read_stablelm(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 32;
  defaults.max_positions = 4096;
  defaults.eps_key = "layer_norm_eps";
  defaults.eps = 1e-5;
  defaults.rope.partial_rotary_factor = 0.25;
  ModelConfig model = read_common(config, defaults);
  model.norm = NormKind::layer_bias;
  model.qkv_bias = config.flag("use_qkv_bias", false);
  model.parallel_residual = config.flag("use_parallel_residual", false);
  if (config.flag("qk_layernorm", false)) {
    model.head_norm = HeadNorm::separate_layer;
    model.names.q_norm = "self_attn.q_layernorm.norms";
    model.names.k_norm = "self_attn.k_layernorm.norms";
  }
  return model;
}

}  // namespace d2c::model
