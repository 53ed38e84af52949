#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "config/harmless_keys.hpp"
#include "families/family.hpp"

namespace d2c::model {
namespace {

/// A family that may be the language model of a vision-language model.
struct LanguageModel {
  std::string model_type;
  ModelConfig (*read)(ConfigReader& config);
};

/// The language model of a vision-language model: text passes nothing else.
/// @param known  the first where `text_config` does not say
ModelConfig read_language_model(ConfigReader& config, std::span<const LanguageModel> known) {
  ConfigReader text = config.object("text_config");
  const std::string type = text.text("model_type", known.front().model_type);
  const auto found = std::ranges::find(known, type, &LanguageModel::model_type);
  if (found == known.end()) {
    text.fail("model_type", fmt::format("is \"{}\"", type),
              "this language model of a vision-language model is not supported",
              fmt::format("supported: {}", known.front().model_type));
  }
  ModelConfig model = found->read(text);
  ignore_harmless_keys(text);
  text.ignore({"architectures"});
  text.refuse_the_rest();
  model.tied_embeddings = config.flag("tie_word_embeddings", model.tied_embeddings);
  model.names.embedding = "model.language_model.embed_tokens";
  model.names.layers = "model.language_model.layers";
  model.names.final_norm = "model.language_model.norm";
  model.spellings = {{"model.language_model.", "language_model.model."},
                     {"lm_head.", "language_model.lm_head."}};
  model.other_parts = {"model.vision_tower.", "vision_tower.", "model.multi_modal_projector.",
                       "multi_modal_projector."};
  config.ignore({"vision_config", "image_token_index", "image_token_id"});
  return model;
}

}  // namespace

/// Gemma 3 with a vision tower (4B and larger). Reference: configuration_gemma3.py of Hugging Face
/// transformers.
ModelConfig read_gemma3_vision(ConfigReader& config) {
  config.ignore({"boi_token_index", "eoi_token_index", "boi_token_id", "eoi_token_id",
                 "mm_tokens_per_image"});
  return read_language_model(config, std::array{LanguageModel{"gemma3_text", read_gemma3}});
}

/// Mistral Small 3.x and Ministral 3 with a vision tower. Reference: configuration_mistral3.py of
/// Hugging Face transformers.
ModelConfig read_mistral3_vision(ConfigReader& config) {
  config.ignore({"multimodal_projector_bias", "projector_hidden_act", "spatial_merge_size",
                 "vision_feature_layer"});
  return read_language_model(config, std::array{LanguageModel{"mistral", read_mistral},
                                                LanguageModel{"ministral3", read_ministral3}});
}

}  // namespace d2c::model
