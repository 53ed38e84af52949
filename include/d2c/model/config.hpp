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
  layer_bias,  ///< LayerNorm with weight and bias
};

/// Normalisation of q and k, before the rotary embedding unless the model says otherwise.
enum class HeadNorm {
  none,
  shared_rms,      ///< RMSNorm of each head, one weight [head_dim] for all heads
  separate_layer,  ///< LayerNorm of each head without bias, a weight [head_dim] for each head
  joint_rms,       ///< RMSNorm of all heads together, weight [n_heads * head_dim]
};

/// Rotary position embedding, with any scaling of the frequencies worked in.
struct RopeConfig {
  std::vector<double> inverse_frequencies;  ///< [rotary_dim / 2], radians per position
  double attention_factor = 1.0;            ///< multiplies cos and sin
  Index longest = 0;  ///< the frequencies hold for sequences up to this length; 0 = any length
  /// The frequencies of sequences of more than short_until tokens, where they differ; else empty.
  std::vector<double> long_frequencies = {};
  Index short_until = 0;
  /// A query at position p is multiplied by 1 + query_growth ln(1 + floor(p / query_growth_from)).
  double query_growth = 0.0;
  double query_growth_from = 1.0;
};

/// What distinguishes the attention of one layer from that of others.
struct LayerKind {
  Index window = 0;  ///< tokens that attention sees; 0 = all
  Index rope = 0;    ///< index into ModelConfig::ropes, or no_rope
};
inline constexpr Index no_rope = -1;

/// Names of the modules as the checkpoint spells them; those of a layer follow "LAYERS.N.". Where
/// layers that read the same input are stored as one (rows of q, k, v; of gate, up), the name of
/// the one is given, and adapters target it.
struct ModuleNames {
  std::string embedding = "model.embed_tokens";
  std::string layers = "model.layers";
  std::string input_norm = "input_layernorm";
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string qkv;  ///< empty = q, k and v by themselves
  std::string o = "self_attn.o_proj";
  std::string q_norm =
      "self_attn.q_norm";  ///< with HeadNorm::separate_layer, one per head: NAME.0, ...
  std::string k_norm = "self_attn.k_norm";
  std::string attention_output_norm;  ///< see ModelConfig::norm_after
  std::string mlp_norm = "post_attention_layernorm";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string gate_up;  ///< empty = gate and up by themselves
  std::string down = "mlp.down_proj";
  std::string mlp_output_norm;
  std::string final_norm = "model.norm";
  std::string head = "lm_head";

  [[nodiscard]] std::string in_layer(Index layer, const std::string& module) const;
};

/// What a decoder computes: all that differs between the supported models.
struct ModelConfig {
  std::string family;  ///< `model_type` of config.json
  ModuleNames names;
  /// Beginnings of tensors' names that earlier releases of the reference spell in another way.
  struct Spelling {
    std::string now, before;
  };
  std::vector<Spelling> spellings;
  std::vector<std::string> other_parts;  ///< beginnings of tensors' names that text does not pass

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
  bool norm_adds_one = false;  ///< RMSNorm multiplies by 1 + weight, also that of heads
  bool norm_before = true;     ///< attention and MLP read norm(x)
  bool norm_after = false;  ///< what attention and MLP give is normalised before it is added to x
  HeadNorm head_norm = HeadNorm::none;
  bool head_norm_after_rope = false;
  ops::Activation activation = ops::Activation::silu;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool parallel_residual = false;  ///< attention and MLP read the same normalised input
  bool tied_embeddings = false;    ///< the output projection is the embedding
  std::vector<LayerKind> kinds;    ///< [n_layers]
  std::vector<RopeConfig> ropes;

  double embedding_scale = 1.0;            ///< multiplies what is looked up, updates included
  bool embedding_scale_is_stored = false;  ///< it is rounded to the type of the stored embedding
  std::optional<float> attention_scale;    ///< of the scores; default 1 / sqrt(head_dim)
  float attention_cap = 0.0F;              ///< a score s becomes cap tanh(s / cap); 0 = it stays
  float residual_scale = 1.0F;             ///< multiplies what attention and MLP add to x
  float logit_scale = 1.0F;
  float logit_cap = 0.0F;  ///< as attention_cap, of the scaled logits

  [[nodiscard]] Index q_size() const { return n_heads * head_dim; }
  [[nodiscard]] Index kv_size() const { return n_kv_heads * head_dim; }
  /// Sequences of more tokens, their last one included, have frequencies of their own; 0 = no
  /// length has.
  [[nodiscard]] Index short_until() const;
  /// Whether attention and MLP are added to x as they are.
  [[nodiscard]] bool adds_plainly() const { return !norm_after && residual_scale == 1.0F; }
};

/// Reads config.json. Every key must be understood, or be known not to change the computation.
/// @throws InputError naming file and key
[[nodiscard]] ModelConfig read_config(const std::filesystem::path& file,
                                      const FileTexts& texts = {});

}  // namespace d2c::model
