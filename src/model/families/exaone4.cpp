#include "families/family.hpp"

namespace d2c::model {

/// EXAONE 4.0. Reference: modeling_exaone4.py and configuration_exaone4.py of Hugging Face
/// transformers.
ModelConfig read_exaone4(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 32;
  defaults.eps = 1e-5;
  ModelConfig model = read_common(config, defaults);
  place_norms_after(model);
  model.head_norm = HeadNorm::shared_rms;

  const Index window = window_or_none(config, 4096);
  // A text such as "LLLG" says the same as layer_types, which come with it.
  Index pattern = 4;
  if (config.has("layer_types")) {
    config.ignore({"sliding_window_pattern"});
  } else {
    pattern = config.positive("sliding_window_pattern", 4);
  }
  read_windows(
      config, window, [&](Index layer) { return (layer + 1) % pattern != 0; }, model);
  if (window > 0) {
    for (LayerKind& kind : model.kinds) {
      if (kind.window == 0) kind.rope = no_rope;
    }
  }
  return model;
}

}  // namespace d2c::model
