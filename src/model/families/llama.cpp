#include "families/family.hpp"

namespace d2c::model {

/// Llama 2 and 3.x, SmolLM. Reference: modeling_llama.py of Hugging Face transformers.
ModelConfig read_llama(ConfigReader& config) {
  ModelConfig model = read_common(config, {});
  const bool attention_bias = config.flag("attention_bias", false);
  model.qkv_bias = attention_bias;
  model.o_bias = attention_bias;
  model.mlp_bias = config.flag("mlp_bias", false);
  if (const Index slices = config.positive("pretraining_tp", 1); slices != 1) {
    config.fail("pretraining_tp", "is above 1", "sliced matrix products are not supported",
                "set it to 1: the model is the same up to rounding");
  }
  return model;
}

}  // namespace d2c::model
