#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "d2c/model/config.hpp"
#include "d2c/ops/rows.hpp"

namespace d2c::model {

/// Modules that read the same input: q, k and v of a layer, gate and up, and others alone.
struct InputSite {
  std::vector<std::string> modules;
  Index d_in = 0;
  bool one_hot = false;  ///< the embedding, which reads tokens
};
/// All of a model: the embedding first.
[[nodiscard]] std::vector<InputSite> input_sites(const ModelConfig& config);

/// Where the joint update of modules that read the same input applies.
enum class UpdatePlace { embedding, qkv, o, gate_up, down, head };

/// Index into input_sites() of a place: of the embedding with the first layer, of the head with the
/// last.
[[nodiscard]] constexpr std::size_t site_of(UpdatePlace place, std::size_t layer) {
  constexpr std::size_t per_layer = 4;
  return layer * per_layer + static_cast<std::size_t>(place);
}

/// Is shown what the modules of a site read.
/// @param site  index into input_sites()
/// @param x     [rows, d_in]
using ShowInputs = std::function<void(std::size_t site, ops::ConstRows x)>;

}  // namespace d2c::model
