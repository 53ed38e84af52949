#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "d2c/model/weights.hpp"

namespace d2c::model {

/// Where one tensor of the checkpoint goes.
struct TensorPlace {
  std::string tensor;
  std::vector<Index> shape;
  std::size_t offset = 0;  ///< bytes from the start of the memory
  Index first_row = 0;     ///< of a matrix: the tensor's first row in the packed matrix
  Index d_out = 0;         ///< rows of the packed matrix; 0 = a vector
  float added = 0.0F;      ///< to each value of a vector
};

struct WeightLayout {
  std::size_t n_bytes = 0;
  std::vector<TensorPlace> placements;  ///< each tensor once
  std::size_t embedding_scale = 0;      ///< offset of Weights::embedding_scale, if there is one
  Weights views;                        ///< of the memory at `memory`
};

/// Places all tensors of a model one after another. The layout depends on the configuration and the
/// format alone.
/// @param format  of the matrices; vectors are always float
/// @param memory  n_bytes bytes, or null to learn how many
[[nodiscard]] WeightLayout lay_out_weights(const ModelConfig& config, ops::WeightFormat format,
                                           const std::byte* memory);

}  // namespace d2c::model
