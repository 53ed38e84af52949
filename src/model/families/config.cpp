#include "d2c/model/config.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"

#include "families/family.hpp"

namespace d2c::model {
namespace {

/// Keys that every Hugging Face configuration may carry and that do not change the forward pass:
/// provenance, training, generation and classification settings.
void ignore_harmless_keys(ConfigReader& config) {
  config.ignore({
      // Provenance and storage.
      "_name_or_path",
      "_commit_hash",
      "_attn_implementation_autoset",
      "transformers_version",
      "torch_dtype",
      "dtype",
      "auto_map",
      "name_or_path",
      "unsloth_version",
      "unsloth_fixed",
      "is_llama_config",  // SmolLM: where its trainer came from
      "transformers.js_config",
      "_attn_implementation",
      "attn_implementation",
      "use_flash_attention_2",
      "_flash_attn_2_enabled",
      "max_sequence_length",  // LLaMA-1, beside max_position_embeddings
      // Training.
      "attention_dropout",
      "hidden_dropout",
      "resid_pdrop",
      "embd_pdrop",
      "initializer_range",
      "neftune_noise_alpha",
      "gradient_checkpointing",
      "chunk_size_feed_forward",
      "pruned_heads",
      "torchscript",
      "finetuning_task",
      "task_specific_params",
      "problem_type",
      "use_bfloat16",
      "tf_legacy_loss",
      // Tokens and text.
      "bos_token_id",
      "eos_token_id",
      "pad_token_id",
      "sep_token_id",
      "decoder_start_token_id",
      "unk_token_id",
      "tokenizer_class",
      "prefix",
      // Outputs and generation.
      "use_cache",
      "return_dict",
      "output_attentions",
      "output_hidden_states",
      "return_dict_in_generate",
      "output_scores",
      "max_length",
      "min_length",
      "do_sample",
      "early_stopping",
      "num_beams",
      "num_beam_groups",
      "diversity_penalty",
      "temperature",
      "top_k",
      "top_p",
      "typical_p",
      "repetition_penalty",
      "length_penalty",
      "no_repeat_ngram_size",
      "encoder_no_repeat_ngram_size",
      "bad_words_ids",
      "num_return_sequences",
      "forced_bos_token_id",
      "forced_eos_token_id",
      "remove_invalid_values",
      "exponential_decay_length_penalty",
      "suppress_tokens",
      "begin_suppress_tokens",
      "max_new_tokens",
      // Classification heads.
      "id2label",
      "label2id",
      "num_labels",
  });
}

void check_architecture(ConfigReader& config, const Family& family) {
  const std::vector<std::string> names = config.texts("architectures");
  if (names.empty() || std::ranges::find(names, family.architecture) != names.end()) return;
  config.fail("architectures", fmt::format("is [{}]", fmt::join(names, ", ")),
              fmt::format("{} is needed: a model with a language-model head", family.architecture),
              "use the causal language model");
}

const Family& family_of(ConfigReader& config) {
  const std::string type = config.text("model_type", "");
  const auto found =
      std::ranges::find(families(), type, [](const Family& family) { return family.model_type; });
  if (found == families().end()) {
    std::vector<std::string_view> known;
    for (const Family& family : families()) known.push_back(family.model_type);
    config.fail("model_type", type.empty() ? "is missing" : fmt::format("is \"{}\"", type),
                "this family of models is not supported",
                fmt::format("supported: {}", fmt::join(known, ", ")));
  }
  return *found;
}

std::optional<std::int32_t> eos_of(const json::Json& config) {
  if (!config.contains("eos_token_id")) return std::nullopt;
  const json::Json& id = config["eos_token_id"];
  if (id.is_number_integer()) return id.get<std::int32_t>();
  if (id.is_array() && !id.empty() && id[0].is_number_integer()) return id[0].get<std::int32_t>();
  return std::nullopt;
}

}  // namespace

std::string ModuleNames::in_layer(Index layer, const std::string& module) const {
  return fmt::format("{}.{}.{}", layers, layer, module);
}

ModelConfig read_config(const std::filesystem::path& file, const FileTexts& texts) {
  const json::Json json = json::parse(texts.read(file), file);
  ConfigReader config(json, file);
  const Family& family = family_of(config);
  check_architecture(config, family);
  ModelConfig model = family.read(config);
  model.family = family.model_type;
  model.eos_token_id = eos_of(json);
  ignore_harmless_keys(config);
  config.refuse_the_rest();
  return model;
}

void check_length(const ModelConfig& config, Index length, const std::filesystem::path& file) {
  if (length <= config.max_positions) return;
  throw InputError({file, ""},
                   {fmt::format("a sequence has {} tokens", length),
                    fmt::format("the model was made for at most {}", config.max_positions),
                    "shorten the example or use a model with a longer context"});
}

}  // namespace d2c::model
