#pragma once

#include "d2c/model/config.hpp"

#include "families/config_reader.hpp"

namespace d2c::model {

/// What the family says where config.json does not.
struct RopeDefaults {
  double theta = 10000.0;
  double partial_rotary_factor = 1.0;
};

/// Reads rope_theta, rope_scaling and partial_rotary_factor, or the newer rope_parameters.
/// Source of the scalings: modeling_rope_utils.py of Hugging Face transformers (linear, dynamic,
/// llama3, yarn); yarn: Peng et al., "YaRN", 2023.
[[nodiscard]] RopeConfig read_rope(ConfigReader& config, Index head_dim, Index max_positions,
                                   const RopeDefaults& defaults);

}  // namespace d2c::model
