#include "weight_layout.hpp"

#include <fmt/format.h>

namespace d2c::model {
namespace {

/// A linear layer of the checkpoint.
struct Linear {
  std::string module;
  Index d_out;
};

class Builder {
 public:
  Builder(const ModelConfig& config, ops::WeightFormat format, const std::byte* memory)
      : config_(config), format_(format), memory_(memory) {}

  WeightLayout build() {
    const ModuleNames& names = config_.names;
    Weights& weights = layout_.views;
    weights.embedding = matrix({{names.embedding, config_.vocab_size}}, config_.hidden_size);
    for (Index layer = 0; layer < config_.n_layers; ++layer) {
      weights.layers.push_back(decoder_layer(layer));
    }
    weights.final_norm = norm(names.final_norm);
    weights.head = config_.tied_embeddings
                       ? weights.embedding
                       : matrix({{names.head, config_.vocab_size}}, config_.hidden_size);
    return std::move(layout_);
  }

 private:
  LayerWeights decoder_layer(Index index) {
    const ModuleNames& names = config_.names;
    const auto in_layer = [&](const std::string& module) { return names.in_layer(index, module); };
    const Index hidden = config_.hidden_size;
    const Index kv = config_.kv_size();
    const std::vector<Linear> qkv{
        {in_layer(names.q), config_.q_size()}, {in_layer(names.k), kv}, {in_layer(names.v), kv}};
    const std::vector<Linear> o{{in_layer(names.o), hidden}};
    const std::vector<Linear> gate_up{{in_layer(names.gate), config_.intermediate_size},
                                      {in_layer(names.up), config_.intermediate_size}};
    const std::vector<Linear> down{{in_layer(names.down), hidden}};

    LayerWeights layer;
    layer.input_norm = norm(in_layer(names.input_norm));
    layer.qkv = matrix(qkv, hidden);
    if (config_.qkv_bias) layer.qkv_bias = biases(qkv);
    layer.q_norm = head_norm(in_layer(names.q_norm), config_.n_heads);
    layer.k_norm = head_norm(in_layer(names.k_norm), config_.n_kv_heads);
    layer.o = matrix(o, config_.q_size());
    if (config_.o_bias) layer.o_bias = biases(o);
    if (!config_.parallel_residual) layer.mlp_norm = norm(in_layer(names.mlp_norm));
    layer.gate_up = matrix(gate_up, hidden);
    layer.down = matrix(down, config_.intermediate_size);
    if (config_.mlp_bias) {
      layer.gate_up_bias = biases(gate_up);
      layer.down_bias = biases(down);
    }
    return layer;
  }

  NormWeights norm(const std::string& module) {
    NormWeights result;
    result.weight = vector({{module + ".weight", config_.hidden_size}});
    if (config_.norm == NormKind::layer_bias) {
      result.bias = vector({{module + ".bias", config_.hidden_size}});
    }
    return result;
  }

  std::span<const float> head_norm(const std::string& module, Index n_heads) {
    switch (config_.head_norm) {
      case HeadNorm::none:
        return {};
      case HeadNorm::shared_rms:
        return vector({{module + ".weight", config_.head_dim}});
      case HeadNorm::separate_layer: {
        std::vector<Linear> heads;
        for (Index head = 0; head < n_heads; ++head) {
          heads.push_back({fmt::format("{}.{}.weight", module, head), config_.head_dim});
        }
        return vector(heads);
      }
    }
    return {};
  }

  std::span<const float> biases(const std::vector<Linear>& layers) {
    std::vector<Linear> tensors;
    tensors.reserve(layers.size());
    for (const Linear& layer : layers) tensors.push_back({layer.module + ".bias", layer.d_out});
    return vector(tensors);
  }

  /// Vectors one after another.
  std::span<const float> vector(const std::vector<Linear>& tensors) {
    Index size = 0;
    for (const Linear& tensor : tensors) {
      layout_.placements.push_back(
          {tensor.module,
           {tensor.d_out},
           layout_.n_bytes + static_cast<std::size_t>(size) * sizeof(float),
           0,
           0});
      size += tensor.d_out;
    }
    const auto n = static_cast<std::size_t>(size);
    const std::byte* place = take(n * sizeof(float));
    return {reinterpret_cast<const float*>(place), place == nullptr ? 0 : n};
  }

  /// One packed matrix, the layers' rows one below another.
  ops::PackedMatrix matrix(const std::vector<Linear>& layers, Index d_in) {
    Index d_out = 0;
    for (const Linear& layer : layers) d_out += layer.d_out;
    Index first_row = 0;
    for (const Linear& layer : layers) {
      layout_.placements.push_back(
          {layer.module + ".weight", {layer.d_out, d_in}, layout_.n_bytes, first_row, d_out});
      first_row += layer.d_out;
    }
    return {d_out, d_in, format_, take(ops::packed_bytes(format_, d_out, d_in))};
  }

  const std::byte* take(std::size_t n) {
    const std::byte* place = memory_ == nullptr ? nullptr : memory_ + layout_.n_bytes;
    layout_.n_bytes += (n + ops::alignment - 1) / ops::alignment * ops::alignment;
    return place;
  }

  const ModelConfig& config_;
  ops::WeightFormat format_;
  const std::byte* memory_;
  WeightLayout layout_;
};

}  // namespace

WeightLayout lay_out_weights(const ModelConfig& config, ops::WeightFormat format,
                             const std::byte* memory) {
  return Builder(config, format, memory).build();
}

}  // namespace d2c::model
