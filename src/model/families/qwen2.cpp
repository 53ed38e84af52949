#include "families/family.hpp"

namespace d2c::model {

/// Qwen 2 and 2.5. Reference: modeling_qwen2.py and configuration_qwen2.py of Hugging Face
/// transformers.
ModelConfig read_qwen2(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 32;
  defaults.max_positions = 32768;
  ModelConfig model = read_common(config, defaults);
  model.qkv_bias = true;
  read_qwen_windows(config, model);
  return model;
}

}  // namespace d2c::model
