#include "families/family.hpp"

namespace d2c::model {

/// Qwen 3 (dense). Reference: modeling_qwen3.py of Hugging Face transformers.
ModelConfig read_qwen3(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 32;
  defaults.head_dim = 128;
  defaults.max_positions = 32768;
  ModelConfig model = read_common(config, defaults);
  const bool attention_bias = config.flag("attention_bias", false);
  model.qkv_bias = attention_bias;
  model.o_bias = attention_bias;
  model.head_norm = HeadNorm::shared_rms;
  read_qwen_windows(config, model);
  return model;
}

}  // namespace d2c::model
