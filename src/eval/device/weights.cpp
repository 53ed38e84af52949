#include "device/weights.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/tensor/dtype.hpp"

namespace d2c::eval::device {

void OperandArray::write(Index first, std::span<const float> values) {
  const auto at = static_cast<std::size_t>(first);
  if (!is_bf16_) return bytes_.write(at * sizeof(float), std::as_bytes(values));
  std::vector<std::uint16_t> bits(values.size());
  std::ranges::transform(values, bits.begin(), bf16_from_float);
  bytes_.write(at * sizeof(std::uint16_t), std::as_bytes(std::span<const std::uint16_t>(bits)));
}

Weights::Weights(Memory& memory, const model::Model& model, bool is_bf16)
    : memory_(memory), is_bf16_(is_bf16) {
  const model::Weights& from = model.weights();
  embedding = matrix(from.embedding);
  if (!from.embedding_scale.empty()) embedding_scale = from.embedding_scale.front();
  for (const model::LayerWeights& layer : from.layers) {
    layers.push_back({.input_norm = norm(layer.input_norm),
                      .attention_output_norm = norm(layer.attention_output_norm),
                      .mlp_norm = norm(layer.mlp_norm),
                      .mlp_output_norm = norm(layer.mlp_output_norm),
                      .qkv = matrix(layer.qkv),
                      .o = matrix(layer.o),
                      .gate_up = matrix(layer.gate_up),
                      .down = matrix(layer.down),
                      .qkv_bias = vector(layer.qkv_bias),
                      .o_bias = vector(layer.o_bias),
                      .gate_up_bias = vector(layer.gate_up_bias),
                      .down_bias = vector(layer.down_bias),
                      .q_norm = vector(layer.q_norm),
                      .k_norm = vector(layer.k_norm)});
  }
  final_norm = norm(from.final_norm);
  head = model.config().tied_embeddings ? embedding : matrix(from.head);
}

Values Weights::matrix(const ops::PackedMatrix& w) {
  constexpr Index values_at_a_time = Index{1} << 22;
  D2C_EXPECTS(!is_bf16_ || w.format() == ops::WeightFormat::bf16);
  OperandArray& array = matrices_.emplace_back(memory_, is_bf16_);
  array.fit(w.d_out() * w.d_in());
  const Index at_a_time = std::clamp(values_at_a_time / w.d_in(), Index{1}, w.d_out());
  std::vector<float> rows(static_cast<std::size_t>(at_a_time * w.d_in()));
  for (Index first = 0; first < w.d_out(); first += at_a_time) {
    const Index count = std::min(at_a_time, w.d_out() - first);
    const std::span<float> values(rows.data(), static_cast<std::size_t>(count * w.d_in()));
    for (Index row = 0; row < count; ++row) {
      w.copy_row(first + row, values.subspan(static_cast<std::size_t>(row * w.d_in()),
                                             static_cast<std::size_t>(w.d_in())));
    }
    array.write(first * w.d_in(), values);
  }
  return array.values();
}

const float* Weights::vector(std::span<const float> values) {
  return values.empty() ? nullptr : vectors_.emplace_back(memory_).assign(values);
}

Weights::Norm Weights::norm(const model::NormWeights& weights) {
  return {vector(weights.weight), vector(weights.bias)};
}

std::size_t weight_bytes(const model::ModelConfig& config, bool is_bf16) {
  return model::weight_bytes(config, is_bf16 ? ops::WeightFormat::bf16 : ops::WeightFormat::f32);
}

void check_model(const model::ModelConfig& config) {
  constexpr Index granule = 4;  // what kernels and products read at a time
  constexpr Index most_head_dim = 256;
  const auto refuse = [&](const std::string& what, const std::string& why) {
    throw UsageError({fmt::format("--device cuda: this {} model has {}", config.family, what), why,
                      "use --device cpu"});
  };
  if (config.head_dim > most_head_dim) {
    refuse(fmt::format("heads of {} values", config.head_dim),
           fmt::format("the GPU's attention takes {} at most", most_head_dim));
  }
  for (const Index size : {config.hidden_size, config.intermediate_size, config.head_dim}) {
    if (size % granule == 0) continue;
    refuse(fmt::format("rows of {} values", size),
           fmt::format("the GPU's kernels read {} at a time", granule));
  }
}

void check_format(const model::Model& model, bool is_bf16) {
  if (!is_bf16 || model.format() == ops::WeightFormat::bf16) return;
  throw UsageError({"--compute bf16: the weights are not BF16",
                    "its products read weights in BF16, and rounding changes the model",
                    "add --weights bf16 to round them, or use --compute f32"});
}

}  // namespace d2c::eval::device
