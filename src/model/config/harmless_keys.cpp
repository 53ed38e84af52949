#include "config/harmless_keys.hpp"

namespace d2c::model {

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

}  // namespace d2c::model
