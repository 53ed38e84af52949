#include <algorithm>

#include <fmt/format.h>

#include "families/family.hpp"

namespace d2c::model {
namespace {

void read_multipliers(ConfigReader& config, ModelConfig& model) {
  model.embedding_scale = config.positive_number("embedding_multiplier", 1.0);
  model.attention_scale = static_cast<float>(config.positive_number("attention_multiplier", 1.0));
  model.residual_scale = static_cast<float>(config.positive_number("residual_multiplier", 1.0));
  model.logit_scale = static_cast<float>(1.0 / config.positive_number("logits_scaling", 1.0));
}

}  // namespace

/// Granite 3.x (dense). Reference: modeling_granite.py of Hugging Face transformers.
ModelConfig read_granite(ConfigReader& config) {
  ModelConfig model = read_common(config, {});
  read_attention_bias(config, model);
  model.mlp_bias = config.flag("mlp_bias", false);
  read_multipliers(config, model);
  return model;
}

/// Granite 4 without Mamba layers and experts. Reference: modeling_granitemoehybrid.py of Hugging
/// Face transformers.
ModelConfig read_granite_hybrid(ConfigReader& config) {
  ModelConfig model = read_common(config, {});
  read_attention_bias(config, model);
  read_multipliers(config, model);
  if (const Index experts = config.not_negative("num_local_experts", 8); experts > 0) {
    config.fail("num_local_experts", fmt::format("is {}", experts),
                "mixtures of experts are not supported", "use a dense model");
  }
  const std::vector<std::string> types = config.texts("layer_types");
  if (std::ssize(types) != model.n_layers ||
      !std::ranges::all_of(types, [](const auto& type) { return type == "attention"; })) {
    config.fail("layer_types", "does not name \"attention\" for every layer",
                "Mamba layers are not supported", "use a model without them");
  }
  if (config.text("position_embedding_type", "") != "rope") {
    for (LayerKind& kind : model.kinds) kind.rope = no_rope;
  }
  model.intermediate_size = config.positive("shared_intermediate_size", 1024);
  model.names.gate_up = "shared_mlp.input_linear";
  model.names.down = "shared_mlp.output_linear";
  config.ignore({"num_experts_per_tok", "router_aux_loss_coef", "output_router_logits",
                 "mamba_chunk_size", "mamba_conv_bias", "mamba_d_conv", "mamba_d_head",
                 "mamba_d_state", "mamba_expand", "mamba_n_groups", "mamba_n_heads",
                 "mamba_proj_bias", "time_step_floor", "time_step_limit", "time_step_max",
                 "time_step_min", "init_method"});
  if (const std::string norm = config.text("normalization_function", "rmsnorm");
      norm != "rmsnorm") {
    config.fail("normalization_function", fmt::format("is \"{}\"", norm), "rmsnorm is supported",
                "use the model's own config.json");
  }
  return model;
}

}  // namespace d2c::model
