#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/json.hpp"
#include "d2c/tensor/matrix.hpp"

/// What config.json of a tiny model means for the names and sizes of its tensors, in the terms of
/// the reference implementation.
namespace d2c::test {

inline bool is(const json::Json& config, const std::string& key) {
  return config.value(key, false);
}
inline std::string type_of(const json::Json& config) { return config.at("model_type"); }
inline bool is_one_of(const json::Json& config, std::initializer_list<const char*> types) {
  return std::ranges::find(types, type_of(config)) != types.end();
}
inline bool is_gemma(const json::Json& config) {
  return is_one_of(config, {"gemma2", "gemma3_text"});
}
inline bool is_tied(const json::Json& config) {
  return config.value("tie_word_embeddings", is_gemma(config) || type_of(config) == "smollm3");
}

/// Null counts as absent.
inline double number(const json::Json& config, const std::string& key, double fallback) {
  const auto found = config.find(key);
  return found == config.end() || found->is_null() ? fallback : found->get<double>();
}

struct Sizes {
  explicit Sizes(const json::Json& config)
      : hidden(config.at("hidden_size")),
        intermediate(
            config.value("shared_intermediate_size", config.at("intermediate_size").get<Index>())),
        layers(config.at("num_hidden_layers")),
        heads(config.at("num_attention_heads")),
        kv_heads(config.value("num_key_value_heads", heads)),
        head_dim(config.value("head_dim", hidden / heads)),
        vocabulary(config.at("vocab_size")) {}
  Index hidden, intermediate, layers, heads, kv_heads, head_dim, vocabulary;
};

inline std::string in_layer(Index layer, const std::string& module) {
  return fmt::format("model.layers.{}.{}", layer, module);
}

/// Names of the modules of a layer; empty = there is none.
struct LayerNames {
  std::string attention_norm = "input_layernorm";
  std::string q = "self_attn.q_proj";
  std::string k = "self_attn.k_proj";
  std::string v = "self_attn.v_proj";
  std::string qkv;
  std::string q_norm;
  std::string k_norm;
  std::string o = "self_attn.o_proj";
  std::string after_attention;
  std::string mlp_norm = "post_attention_layernorm";
  std::string gate = "mlp.gate_proj";
  std::string up = "mlp.up_proj";
  std::string gate_up;
  std::string down = "mlp.down_proj";
  std::string after_mlp;

  explicit LayerNames(const json::Json& config) {
    if (is_one_of(config, {"olmo2", "olmo3", "exaone4"})) {
      attention_norm.clear();
      mlp_norm.clear();
    }
    if (is_gemma(config)) mlp_norm = "pre_feedforward_layernorm";
    if (is_gemma(config) || attention_norm.empty()) {
      after_attention = "post_attention_layernorm";
      after_mlp = "post_feedforward_layernorm";
    }
    if (is(config, "use_parallel_residual")) mlp_norm.clear();
    if (is_one_of(config, {"olmo2", "olmo3", "exaone4", "qwen3", "gemma3_text"})) {
      q_norm = "self_attn.q_norm";
      k_norm = "self_attn.k_norm";
    }
    if (type_of(config) == "hunyuan_v1_dense") {
      q_norm = "self_attn.query_layernorm";
      k_norm = "self_attn.key_layernorm";
    }
    if (type_of(config) == "phi3") {
      qkv = "self_attn.qkv_proj";
      gate_up = "mlp.gate_up_proj";
    }
    if (type_of(config) == "granitemoehybrid") {
      gate_up = "shared_mlp.input_linear";
      down = "shared_mlp.output_linear";
    }
  }

  [[nodiscard]] std::vector<std::string> norms() const {
    std::vector<std::string> result;
    for (const auto& name : {attention_norm, after_attention, mlp_norm, after_mlp}) {
      if (!name.empty()) result.push_back(name);
    }
    return result;
  }
};

}  // namespace d2c::test
