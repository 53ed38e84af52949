#pragma once

#include <vector>

#include "d2c/model/config.hpp"
#include "d2c/model/model.hpp"

#include "device/memory.hpp"

namespace d2c::eval::device {

/// A base model in the memory of a device: what model::Weights has, row by row.
class Weights {
 public:
  struct Norm {
    const float* weight = nullptr;
    const float* bias = nullptr;  ///< null = none
  };
  struct Layer {
    Norm input_norm, attention_output_norm, mlp_norm, mlp_output_norm;
    Values qkv, o, gate_up, down;
    const float* qkv_bias = nullptr;
    const float* o_bias = nullptr;
    const float* gate_up_bias = nullptr;
    const float* down_bias = nullptr;
    const float* q_norm = nullptr;
    const float* k_norm = nullptr;
  };

  /// @param is_bf16  how matrices lie there
  /// @pre they are BF16 in `model` then
  Weights(Memory& memory, const model::Model& model, bool is_bf16);

  [[nodiscard]] bool is_bf16() const { return is_bf16_; }

  Values embedding;              ///< [vocabulary, hidden]
  float embedding_scale = 1.0F;  ///< multiplies what is looked up
  std::vector<Layer> layers;
  Norm final_norm;
  Values head;  ///< [vocabulary, hidden]

 private:
  Values matrix(const ops::PackedMatrix& w);
  const float* vector(std::span<const float> values);
  Norm norm(const model::NormWeights& weights);

  Memory& memory_;
  bool is_bf16_;
  std::vector<OperandArray> matrices_;
  std::vector<Array<float>> vectors_;
};

/// Bytes that Weights takes.
[[nodiscard]] std::size_t weight_bytes(const model::ModelConfig& config, bool is_bf16);

/// @throws UsageError if the kernels do not compute this model
void check_model(const model::ModelConfig& config);
/// @throws UsageError if BF16 is asked for and the model's matrices are not
void check_format(const model::Model& model, bool is_bf16);

}  // namespace d2c::eval::device
