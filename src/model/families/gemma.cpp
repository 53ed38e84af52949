#include <cmath>

#include "families/family.hpp"

namespace d2c::model {
namespace {

/// A soft cap: null = none.
float read_cap(ConfigReader& config, const std::string& key, double fallback) {
  const bool is_none = config.is_null(key);
  return static_cast<float>(config.positive_number(key, is_none ? 0.0 : fallback));
}

struct GemmaDefaults {
  Index max_positions = 0;
  double attention_cap = 0.0;
  double logit_cap = 0.0;
};

/// What Gemma 2 and 3 share: norms before and after attention and MLP which multiply by 1 + w, and
/// an embedding scaled by sqrt(hidden_size), rounded to the type of the weights.
ModelConfig read_gemma(ConfigReader& config, const GemmaDefaults& own, FamilyDefaults defaults) {
  defaults.n_kv_heads = 4;
  defaults.head_dim = 256;
  defaults.max_positions = own.max_positions;
  defaults.activation_key = "hidden_activation";
  defaults.activation = "gelu_pytorch_tanh";
  defaults.tied_embeddings = true;
  ModelConfig model = read_common(config, defaults);
  read_attention_bias(config, model);
  model.norm_adds_one = true;
  model.norm_after = true;
  model.names.attention_output_norm = "post_attention_layernorm";
  model.names.mlp_norm = "pre_feedforward_layernorm";
  model.names.mlp_output_norm = "post_feedforward_layernorm";
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden_size));
  model.embedding_scale_is_stored = true;
  model.attention_scale =
      static_cast<float>(1.0 / std::sqrt(config.positive_number("query_pre_attn_scalar", 256.0)));
  model.attention_cap = read_cap(config, "attn_logit_softcapping", own.attention_cap);
  model.logit_cap = read_cap(config, "final_logit_softcapping", own.logit_cap);
  // hidden_activation stands for hidden_act.
  config.ignore({"hidden_act", "cache_implementation"});
  return model;
}

}  // namespace

/// Gemma 2. Reference: modeling_gemma2.py and configuration_gemma2.py of Hugging Face transformers.
ModelConfig read_gemma2(ConfigReader& config) {
  ModelConfig model = read_gemma(config, {8192, 50.0, 30.0}, {});
  read_windows(
      config, window_or_none(config, 4096), [](Index layer) { return layer % 2 == 0; }, model);
  return model;
}

/// Gemma 3, text only (270M, 1B). Reference: modeling_gemma3.py and configuration_gemma3.py of
/// Hugging Face transformers.
ModelConfig read_gemma3(ConfigReader& config) {
  FamilyDefaults defaults;
  // Inside a vision-language model, config.json leaves out what is the default.
  defaults.vocab_size = 262'208;
  defaults.hidden_size = 2304;
  defaults.intermediate_size = 9216;
  defaults.n_layers = 26;
  defaults.n_heads = 8;
  defaults.rope.theta = 1e6;
  defaults.has_local_rope = true;
  defaults.local_theta_key = "rope_local_base_freq";
  defaults.local_theta = 1e4;
  ModelConfig model = read_gemma(config, {131'072, 0.0, 0.0}, defaults);
  model.head_norm = HeadNorm::shared_rms;
  // Gemma3Attention of transformers reads the key and never hands it on to the attention.
  if (model.attention_cap > 0.0F) {
    config.fail("attn_logit_softcapping", "is set", "Gemma 3 of transformers does not heed it",
                "set it to null: that is what transformers computes");
  }
  const Index pattern = config.positive("sliding_window_pattern", 6);
  config.ignore({"_sliding_window_pattern"});  // written beside layer_types
  read_windows(
      config, window_or_none(config, 4096), [&](Index layer) { return (layer + 1) % pattern != 0; },
      model);
  use_local_rope(model);
  return model;
}

}  // namespace d2c::model
