#include "families/family.hpp"

namespace d2c::model {

/// Hunyuan (dense). Reference: modeling_hunyuan_v1_dense.py of Hugging Face transformers.
ModelConfig read_hunyuan(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.eps = 1e-5;
  defaults.rope.knows_alpha = true;
  ModelConfig model = read_common(config, defaults);
  read_attention_bias(config, model);
  model.head_norm = HeadNorm::shared_rms;
  model.head_norm_after_rope = true;
  model.names.q_norm = "self_attn.query_layernorm";
  model.names.k_norm = "self_attn.key_layernorm";
  check_pretraining_tp(config);
  if (!config.flag("use_qk_norm", true)) {
    config.fail("use_qk_norm", "is false", "norms of q and k are part of this family",
                "use a supported model");
  }
  // Of earlier code for the family; transformers does not read them.
  config.ignore({"attention_head_dim", "cla_share_factor", "class_num", "dense_list",
                 "eod_token_id", "im_end_id", "im_newline_id", "im_start_id", "image_token_id",
                 "mask_init_id", "norm_type", "org_vocab_size", "pad_id", "pool_type",
                 "text_end_id", "text_start_id", "video_end_id", "video_start_id"});
  return model;
}

}  // namespace d2c::model
