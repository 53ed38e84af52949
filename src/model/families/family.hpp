#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "d2c/model/config.hpp"

#include "config/config_reader.hpp"
#include "config/rope_config.hpp"

namespace d2c::model {

/// One row per supported family: how its config.json becomes a ModelConfig.
struct Family {
  std::string_view model_type;    ///< as in config.json
  std::string_view architecture;  ///< the class name with a language-model head
  ModelConfig (*read)(ConfigReader& config);
};

[[nodiscard]] std::span<const Family> families();

/// What the reference implementation of a family takes where config.json is silent.
struct FamilyDefaults {
  Index vocab_size = 0;  ///< 0 = config.json must say, as for the other sizes
  Index hidden_size = 0;
  Index intermediate_size = 0;
  Index n_layers = 0;
  Index n_heads = 0;
  Index n_kv_heads = 0;  ///< 0 = n_heads
  Index head_dim = 0;    ///< 0 = hidden_size / n_heads
  Index max_positions = 2048;
  std::string eps_key = "rms_norm_eps";
  double eps = 1e-6;
  std::string activation_key = "hidden_act";
  std::string activation = "silu";
  bool tied_embeddings = false;
  RopeDefaults rope;
  /// Layers with a window have a rope of their own, ModelConfig::ropes[1]; see read_two_ropes().
  bool has_local_rope = false;
  std::string local_theta_key;
  double local_theta = 0.0;
};

/// The keys that all families share: sizes, activation, eps, rope, tied embeddings; no windows.
[[nodiscard]] ModelConfig read_common(ConfigReader& config, const FamilyDefaults& defaults);

/// `attention_bias`: of q, k, v and o.
void read_attention_bias(ConfigReader& config, ModelConfig& model);

/// Windows by `layer_types` where it is given, else in the layers that `has_window` names.
/// @param window  0 = all tokens
void read_windows(ConfigReader& config, Index window, const std::function<bool(Index)>& has_window,
                  ModelConfig& model);
inline bool every_layer(Index /*layer*/) { return true; }

/// `sliding_window`: null = none, which is 0.
[[nodiscard]] Index window_or_none(ConfigReader& config, Index fallback);
/// Layers with a window take the second rope.
void use_local_rope(ModelConfig& model);
/// Norms stand after attention and MLP only, named as in OLMo 2.
void place_norms_after(ModelConfig& model);
/// @throws InputError for `pretraining_tp` above 1
void check_pretraining_tp(ConfigReader& config);

ModelConfig read_exaone4(ConfigReader& config);
ModelConfig read_gemma2(ConfigReader& config);
ModelConfig read_gemma3(ConfigReader& config);
ModelConfig read_gemma3_vision(ConfigReader& config);
ModelConfig read_granite(ConfigReader& config);
ModelConfig read_granite_hybrid(ConfigReader& config);
ModelConfig read_hunyuan(ConfigReader& config);
ModelConfig read_llama(ConfigReader& config);
ModelConfig read_ministral3(ConfigReader& config);
ModelConfig read_mistral(ConfigReader& config);
ModelConfig read_mistral3_vision(ConfigReader& config);
ModelConfig read_olmo2(ConfigReader& config);
ModelConfig read_olmo3(ConfigReader& config);
ModelConfig read_phi3(ConfigReader& config);
ModelConfig read_qwen2(ConfigReader& config);
ModelConfig read_qwen3(ConfigReader& config);
ModelConfig read_smollm3(ConfigReader& config);
ModelConfig read_stablelm(ConfigReader& config);

}  // namespace d2c::model
