#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/core/rng.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/safetensors/writer.hpp"

#include "test_support.hpp"

namespace d2c::lora {

inline Matrix random_matrix(Index rows, Index cols, std::uint64_t stream) {
  CounterRng rng(7, stream);
  Matrix result(rows, cols);
  for (float& value : result.values()) value = static_cast<float>(rng.normal());
  return result;
}

inline Factors random_factors(Index d_out, Index d_in, Index rank, std::uint64_t stream,
                              double scaling = 1.0) {
  return {random_matrix(rank, d_in, 2 * stream), random_matrix(d_out, rank, 2 * stream + 1),
          scaling};
}

/// A PEFT folder put together by hand: any tensors, any configuration.
class HandmadeAdapter {
 public:
  std::string config = R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4,
                           "target_modules": ["q_proj", "v_proj"]})";
  std::map<std::string, Matrix> tensors;
  DType dtype = DType::f32;

  /// Adds both factors of a linear layer under the keys PEFT gives them.
  void add(const std::string& module, Index d_out, Index d_in, Index rank,
           const std::string& adapter_name = "") {
    const std::string end = adapter_name.empty() ? ".weight" : "." + adapter_name + ".weight";
    const std::string start = "base_model.model." + module;
    tensors[start + ".lora_A" + end] = random_matrix(rank, d_in, tensors.size());
    tensors[start + ".lora_B" + end] = random_matrix(d_out, rank, tensors.size());
  }

  void save(const std::filesystem::path& folder) const {
    test::write_file(folder / "adapter_config.json", config);
    std::vector<safetensors::TensorToWrite> list;
    for (const auto& [name, matrix] : tensors) {
      list.push_back({name, dtype, {matrix.rows(), matrix.cols()}, matrix.values()});
    }
    safetensors::write(folder / "adapter_model.safetensors", list, {{"format", "pt"}});
  }
};

}  // namespace d2c::lora
