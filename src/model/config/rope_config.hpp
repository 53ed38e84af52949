#pragma once

#include "d2c/model/config.hpp"

#include "config/config_reader.hpp"

namespace d2c::model {

/// What the family says where config.json does not.
struct RopeDefaults {
  double theta = 10000.0;
  double partial_rotary_factor = 1.0;
  Index original_positions = 0;               ///< of a scaling; 0 = max_position_embeddings
  bool yarn_is_longrope = false;              ///< Phi-3: "su" and "yarn" are earlier names
  bool knows_alpha = false;                   ///< Hunyuan: `alpha` in a dynamic scaling
  bool knows_query_growth = false;            ///< Ministral 3: `llama_4_scaling_beta`
  json::Json scaling = json::Json::object();  ///< where config.json has none
};

/// Sizes that a rope depends on.
struct RopeSizes {
  Index head_dim = 0;
  Index max_positions = 0;
};

/// Reads rope_theta, rope_scaling, partial_rotary_factor and original_max_position_embeddings, or
/// the newer rope_parameters.
/// Source of the scalings: modeling_rope_utils.py of Hugging Face transformers (linear, dynamic,
/// llama3, yarn, longrope), that of `alpha`: modeling_hunyuan_v1_dense.py; yarn: Peng et al.,
/// "YaRN", 2023; longrope: Ding et al., "LongRoPE", 2024.
[[nodiscard]] RopeConfig read_rope(ConfigReader& config, RopeSizes sizes,
                                   const RopeDefaults& defaults);

/// The ropes of layers that see everything and of those with a window, where they differ:
/// rope_parameters has one object for each, or the scaling holds for the former only.
struct TwoRopes {
  RopeConfig global;
  RopeConfig local;
};
/// @param local_theta_key  key of the base of layers with a window in the older spelling; empty =
///                         rope_theta
[[nodiscard]] TwoRopes read_two_ropes(ConfigReader& config, RopeSizes sizes,
                                      const RopeDefaults& global,
                                      const std::string& local_theta_key, double local_theta);

}  // namespace d2c::model
