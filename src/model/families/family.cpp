#include "families/family.hpp"

#include <array>

#include <fmt/format.h>

namespace d2c::model {
namespace {

constexpr std::array<Family, 5> all_families{{
    {"llama", "LlamaForCausalLM", read_llama},
    {"mistral", "MistralForCausalLM", read_mistral},
    {"qwen2", "Qwen2ForCausalLM", read_qwen2},
    {"qwen3", "Qwen3ForCausalLM", read_qwen3},
    {"stablelm", "StableLmForCausalLM", read_stablelm},
}};

/// Sizes beyond these are damage, and would only show as exhausted memory.
constexpr Index most_layers = 10'000;
constexpr Index largest_head = 65'536;

void check_at_most(const ConfigReader& config, const std::string& key, Index value, Index limit) {
  if (value <= limit) return;
  config.fail(key, fmt::format("is {}", value), fmt::format("at most {} makes sense", limit),
              "use the model's own config.json");
}

ops::Activation read_activation(ConfigReader& config) {
  const std::string name = config.text("hidden_act", "silu");
  const auto activation = ops::activation_from_name(name);
  if (!activation) {
    config.fail("hidden_act", fmt::format("is \"{}\"", name), "this activation is not supported",
                "supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu");
  }
  return *activation;
}

Index read_head_dim(ConfigReader& config, const ModelConfig& model, Index fallback) {
  if (config.has("head_dim")) return config.positive("head_dim");
  if (fallback > 0) return fallback;
  if (model.hidden_size % model.n_heads != 0) {
    config.fail("num_attention_heads",
                fmt::format("{} does not divide hidden_size {}", model.n_heads, model.hidden_size),
                "heads of equal size are needed", "use the model's own config.json");
  }
  return model.hidden_size / model.n_heads;
}

}  // namespace

std::span<const Family> families() { return all_families; }

ModelConfig read_common(ConfigReader& config, const FamilyDefaults& defaults) {
  ModelConfig model;
  model.vocab_size = config.positive("vocab_size");
  model.hidden_size = config.positive("hidden_size");
  model.intermediate_size = config.positive("intermediate_size");
  model.n_layers = config.positive("num_hidden_layers");
  check_at_most(config, "num_hidden_layers", model.n_layers, most_layers);
  model.n_heads = config.positive("num_attention_heads");
  model.n_kv_heads = config.positive("num_key_value_heads",
                                     defaults.n_kv_heads > 0 ? defaults.n_kv_heads : model.n_heads);
  if (model.n_heads % model.n_kv_heads != 0) {
    config.fail(
        "num_key_value_heads",
        fmt::format("{} does not divide num_attention_heads {}", model.n_kv_heads, model.n_heads),
        "query heads share key heads in groups of equal size", "use the model's own config.json");
  }
  model.head_dim = read_head_dim(config, model, defaults.head_dim);
  check_at_most(config, "head_dim", model.head_dim, largest_head);
  model.max_positions = config.positive("max_position_embeddings", defaults.max_positions);
  model.norm_eps = static_cast<float>(config.positive_number(defaults.eps_key, defaults.eps));
  model.activation = read_activation(config);
  model.tied_embeddings = config.flag("tie_word_embeddings", false);
  model.rope = read_rope(config, model.head_dim, model.max_positions, defaults.rope);
  model.windows.assign(static_cast<std::size_t>(model.n_layers), 0);
  return model;
}

void read_windows(ConfigReader& config, Index window, Index first_layer, ModelConfig& model) {
  const std::vector<std::string> types = config.texts("layer_types");
  if (types.empty()) {
    for (Index layer = first_layer; layer < model.n_layers; ++layer) {
      model.windows[static_cast<std::size_t>(layer)] = window;
    }
    return;
  }
  if (types.size() != model.windows.size()) {
    config.fail("layer_types", fmt::format("has {} entries", types.size()),
                fmt::format("the model has {} layers", model.n_layers),
                "use the model's own config.json");
  }
  for (std::size_t layer = 0; layer < types.size(); ++layer) {
    if (types[layer] == "full_attention") continue;
    if (types[layer] != "sliding_attention" || window == 0) {
      config.fail("layer_types", fmt::format("names \"{}\"", types[layer]),
                  "full_attention is supported, and sliding_attention with a sliding_window",
                  "use a supported model");
    }
    model.windows[layer] = window;
  }
}

void read_qwen_windows(ConfigReader& config, ModelConfig& model) {
  const bool used = config.flag("use_sliding_window", false);
  const Index window = config.positive("sliding_window", 4096);
  const Index first_layer = config.not_negative("max_window_layers", 28);
  read_windows(config, used ? window : 0, first_layer, model);
}

}  // namespace d2c::model
