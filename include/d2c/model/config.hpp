#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/core/file_texts.hpp"
#include "d2c/ops/activation.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::model {

enum class NormKind {
  rms,         ///< RMSNorm with weight
  layer,       ///< LayerNorm with weight
  layer_bias,  ///< LayerNorm with weight and bias
};

/// Normalisation of each head of q and k before the rotary embedding.
enum class HeadNorm {
  none,
  shared_rms,      ///< RMSNorm, one weight [head_dim] for all heads
  separate_layer,  ///< LayerNorm without bias, a weight [head_dim] for each head
};

/// Rotary position embedding, with any scaling of the frequencies worked in.
struct RopeConfig {
  std::vector<double> inverse_frequencies;  ///< [rotary_dim / 2], radians per position
  double attention_factor = 1.0;            ///< multiplies cos and sin
  Index longest = 0;  ///< the frequencies hold for sequences up to this length; 0 = any length
};

/// Names of the modules as the checkpoint spells them; those of a layer follow "LAYERS.N.".
struct ModuleNames {
  std::string embedding = "model.embed_tokens";
  std::string layers = "model.layers";
  std::string input_norm = "input_layernorm";
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string o = "self_attn.o_proj";
  std::string q_norm =
      "self_attn.q_norm";  ///< with HeadNorm::separate_layer, one per head: NAME.0, ...
  std::string k_norm = "self_attn.k_norm";
  std::string mlp_norm = "post_attention_layernorm";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string down = "mlp.down_proj";
  std::string final_norm = "model.norm";
  std::string head = "lm_head";

  [[nodiscard]] std::string in_layer(Index layer, const std::string& module) const;
};

/// What a decoder computes: all that differs between the supported models.
struct ModelConfig {
  std::string family;  ///< `model_type` of config.json
  ModuleNames names;

  Index vocab_size = 0;
  Index hidden_size = 0;
  Index intermediate_size = 0;
  Index n_layers = 0;
  Index n_heads = 0;
  Index n_kv_heads = 0;
  Index head_dim = 0;
  Index max_positions = 0;                   ///< longest sequence the model was made for
  std::optional<std::int32_t> eos_token_id;  ///< the first, if config.json lists several

  NormKind norm = NormKind::rms;
  float norm_eps = 1e-6F;
  HeadNorm head_norm = HeadNorm::none;
  ops::Activation activation = ops::Activation::silu;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool parallel_residual = false;  ///< attention and MLP read the same normalised input
  bool tied_embeddings = false;    ///< the output projection is the embedding
  std::vector<Index> windows;      ///< [n_layers] tokens that attention sees; 0 = all
  RopeConfig rope;

  [[nodiscard]] Index q_size() const { return n_heads * head_dim; }
  [[nodiscard]] Index kv_size() const { return n_kv_heads * head_dim; }
};

/// Reads config.json. Every key must be understood, or be known not to change the computation.
/// @throws InputError naming file and key
[[nodiscard]] ModelConfig read_config(const std::filesystem::path& file,
                                      const FileTexts& texts = {});

/// @throws InputError if a sequence of `length` tokens is longer than the model was made for
/// @param file  names the sequence's origin in the message
void check_length(const ModelConfig& config, Index length, const std::filesystem::path& file = {});

}  // namespace d2c::model
