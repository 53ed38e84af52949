#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "d2c/tensor/dtype.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::safetensors {

/// A float tensor to be written in `dtype`.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;
  std::span<const float> values;  ///< row-major
};

/// Writes a complete safetensors file (header padded to 8 bytes, tensors in the order of the
/// reference writer: by descending alignment, then name). Written beside `file` under a temporary
/// name, flushed to disk, then renamed. Equal content gives equal bytes.
/// @pre names differ, are valid UTF-8 and not "__metadata__"; dtypes are float types
/// @throws InputError if the file cannot be written, or if a value is not finite in `dtype`
void write(const std::filesystem::path& file, std::span<const TensorToWrite> tensors,
           const std::map<std::string, std::string>& metadata = {});

}  // namespace d2c::safetensors
