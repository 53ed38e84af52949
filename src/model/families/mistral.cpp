#include "families/family.hpp"

namespace d2c::model {

/// Mistral 7B. Reference: modeling_mistral.py of Hugging Face transformers.
ModelConfig read_mistral(ConfigReader& config) {
  FamilyDefaults defaults;
  defaults.n_kv_heads = 8;
  defaults.max_positions = Index{4096} * 32;
  ModelConfig model = read_common(config, defaults);
  // Absent means 4096, null means none.
  const bool unlimited = config.is_null("sliding_window");
  const Index window = unlimited ? 0 : config.positive("sliding_window", 4096);
  read_windows(config, window, 0, model);
  return model;
}

}  // namespace d2c::model
