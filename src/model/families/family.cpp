#include "families/family.hpp"

#include <array>

#include <fmt/format.h>

namespace d2c::model {
namespace {

constexpr auto all_families = std::to_array<Family>({
    {"exaone4", "Exaone4ForCausalLM", read_exaone4},
    {"gemma2", "Gemma2ForCausalLM", read_gemma2},
    {"gemma3", "Gemma3ForConditionalGeneration", read_gemma3_vision},
    {"gemma3_text", "Gemma3ForCausalLM", read_gemma3},
    {"granite", "GraniteForCausalLM", read_granite},
    {"granitemoehybrid", "GraniteMoeHybridForCausalLM", read_granite_hybrid},
    {"hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", read_hunyuan},
    {"llama", "LlamaForCausalLM", read_llama},
    {"ministral3", "Ministral3ForCausalLM", read_ministral3},
    {"mistral", "MistralForCausalLM", read_mistral},
    {"mistral3", "Mistral3ForConditionalGeneration", read_mistral3_vision},
    {"olmo2", "Olmo2ForCausalLM", read_olmo2},
    {"olmo3", "Olmo3ForCausalLM", read_olmo3},
    {"phi3", "Phi3ForCausalLM", read_phi3},
    {"qwen2", "Qwen2ForCausalLM", read_qwen2},
    {"qwen3", "Qwen3ForCausalLM", read_qwen3},
    {"smollm3", "SmolLM3ForCausalLM", read_smollm3},
    {"stablelm", "StableLmForCausalLM", read_stablelm},
});

/// Sizes beyond these are damage, and would only show as exhausted memory.
constexpr Index most_layers = 10'000;
constexpr Index largest_head = 65'536;

void check_at_most(const ConfigReader& config, const std::string& key, Index value, Index limit) {
  if (value <= limit) return;
  config.fail(key, fmt::format("is {}", value), fmt::format("at most {} makes sense", limit),
              "use the model's own config.json");
}

ops::Activation read_activation(ConfigReader& config, const FamilyDefaults& defaults) {
  const std::string name = config.text(defaults.activation_key, defaults.activation);
  const auto activation = ops::activation_from_name(name);
  if (!activation) {
    config.fail(defaults.activation_key, fmt::format("is \"{}\"", name),
                "this activation is not supported",
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

/// Source: create_causal_mask in masking_utils.py of Hugging Face transformers 5, which gives every
/// token the whole text where `is_causal` is false. So does the code of embedding models.
void check_causal(ConfigReader& config) {
  if (config.flag("is_causal", true)) return;
  config.fail("is_causal", "is false", "tokens that see what follows them are not supported",
              "use a causal language model");
}

}  // namespace

std::span<const Family> families() { return all_families; }

ModelConfig read_common(ConfigReader& config, const FamilyDefaults& defaults) {
  ModelConfig model;
  const auto size = [&](const char* key, Index fallback) {
    return fallback > 0 ? config.positive(key, fallback) : config.positive(key);
  };
  model.vocab_size = size("vocab_size", defaults.vocab_size);
  model.hidden_size = size("hidden_size", defaults.hidden_size);
  model.intermediate_size = size("intermediate_size", defaults.intermediate_size);
  model.n_layers = size("num_hidden_layers", defaults.n_layers);
  check_at_most(config, "num_hidden_layers", model.n_layers, most_layers);
  model.n_heads = size("num_attention_heads", defaults.n_heads);
  const bool as_many = defaults.n_kv_heads == 0 || config.is_null("num_key_value_heads");
  model.n_kv_heads =
      config.positive("num_key_value_heads", as_many ? model.n_heads : defaults.n_kv_heads);
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
  model.activation = read_activation(config, defaults);
  model.tied_embeddings = config.flag("tie_word_embeddings", defaults.tied_embeddings);
  check_causal(config);
  model.kinds.assign(static_cast<std::size_t>(model.n_layers), {});
  const RopeSizes sizes{model.head_dim, model.max_positions};
  if (!defaults.has_local_rope) {
    model.ropes = {read_rope(config, sizes, defaults.rope)};
  } else {
    const auto [global, local] = read_two_ropes(config, sizes, defaults.rope,
                                                defaults.local_theta_key, defaults.local_theta);
    model.ropes = {global, local};
  }
  return model;
}

void read_attention_bias(ConfigReader& config, ModelConfig& model) {
  model.qkv_bias = config.flag("attention_bias", false);
  model.o_bias = model.qkv_bias;
}

void read_windows(ConfigReader& config, Index window, const std::function<bool(Index)>& has_window,
                  ModelConfig& model) {
  const std::vector<std::string> types = config.texts("layer_types");
  if (types.empty()) {
    for (Index layer = 0; layer < model.n_layers; ++layer) {
      if (has_window(layer)) model.kinds[static_cast<std::size_t>(layer)].window = window;
    }
    return;
  }
  if (types.size() != model.kinds.size()) {
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
    model.kinds[layer].window = window;
  }
}

Index window_or_none(ConfigReader& config, Index fallback) {
  if (config.has("sliding_window")) return config.positive("sliding_window");
  return config.is_null("sliding_window") ? 0 : fallback;
}

void use_local_rope(ModelConfig& model) {
  for (LayerKind& kind : model.kinds) {
    if (kind.window > 0) kind.rope = 1;
  }
}

void check_pretraining_tp(ConfigReader& config) {
  if (config.positive("pretraining_tp", 1) == 1) return;
  config.fail("pretraining_tp", "is above 1", "sliced matrix products are not supported",
              "set it to 1: the model is the same up to rounding");
}

}  // namespace d2c::model
