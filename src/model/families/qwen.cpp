#include "families/family.hpp"

namespace d2c::model {
namespace {

/// A window where use_sliding_window says so, from layer max_window_layers on.
void read_qwen_windows(ConfigReader& config, ModelConfig& model) {
  const bool used = config.flag("use_sliding_window", false);
  const Index window = window_or_none(config, 4096);
  const Index first_layer = config.not_negative("max_window_layers", 28);
  read_windows(
      config, used ? window : 0, [&](Index layer) { return layer >= first_layer; }, model);
}

}  // namespace

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

/// Qwen 3 (dense). Reference: modeling_qwen3.py of Hugging Face transformers.
ModelConfig read_qwen3(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 32;
  defaults.head_dim = 128;
  defaults.max_positions = 32768;
  ModelConfig model = read_common(config, defaults);
  read_attention_bias(config, model);
  model.head_norm = HeadNorm::shared_rms;
  read_qwen_windows(config, model);
  return model;
}

}  // namespace d2c::model
