#pragma once

#include <span>
#include <string_view>

#include "d2c/model/config.hpp"

#include "families/config_reader.hpp"
#include "families/rope_config.hpp"

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
  Index n_kv_heads = 0;  ///< 0 = n_heads
  Index head_dim = 0;    ///< 0 = hidden_size / n_heads
  Index max_positions = 2048;
  std::string eps_key = "rms_norm_eps";
  double eps = 1e-6;
  RopeDefaults rope;
};

/// The keys that all families share: sizes, activation, eps, rope, tied embeddings; no windows.
[[nodiscard]] ModelConfig read_common(ConfigReader& config, const FamilyDefaults& defaults);

/// Windows by `layer_types` where it is given, else `window` from layer `first_layer` on.
/// @param window  0 = all tokens
void read_windows(ConfigReader& config, Index window, Index first_layer, ModelConfig& model);

/// The rule of both Qwen families: a window where use_sliding_window says so, from layer
/// max_window_layers on.
void read_qwen_windows(ConfigReader& config, ModelConfig& model);

ModelConfig read_llama(ConfigReader& config);
ModelConfig read_mistral(ConfigReader& config);
ModelConfig read_qwen2(ConfigReader& config);
ModelConfig read_qwen3(ConfigReader& config);
ModelConfig read_stablelm(ConfigReader& config);

}  // namespace d2c::model
