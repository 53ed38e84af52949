#include "families/family.hpp"

namespace d2c::model {

/// Llama 2 and 3.x, SmolLM. Reference: modeling_llama.py of Hugging Face transformers.
ModelConfig read_llama(ConfigReader& config) {
  ModelConfig model = read_common(config, {});
  read_attention_bias(config, model);
  model.mlp_bias = config.flag("mlp_bias", false);
  check_pretraining_tp(config);
  return model;
}

}  // namespace d2c::model
