#include "weight_layout.hpp"

#include <fmt/format.h>

#include "members.hpp"

namespace d2c::model {
namespace {

class Builder {
 public:
  Builder(const ModelConfig& config, ops::WeightFormat format, const std::byte* memory)
      : config_(config), format_(format), memory_(memory) {}

  WeightLayout build() {
    const ModuleNames& names = config_.names;
    Weights& weights = layout_.views;
    weights.embedding = matrix({{names.embedding, config_.vocab_size}}, config_.hidden_size);
    if (config_.embedding_scale != 1.0) {
      layout_.embedding_scale = layout_.n_bytes;
      weights.embedding_scale = floats(1);
    }
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
    const Members qkv = qkv_members(config_, index);
    const Members o{{in_layer(names.o), hidden}};
    const Members gate_up = gate_up_members(config_, index);
    const Members down{{in_layer(names.down), hidden}};

    LayerWeights layer;
    if (config_.norm_before) layer.input_norm = norm(in_layer(names.input_norm));
    layer.qkv = matrix(qkv, hidden);
    if (config_.qkv_bias) layer.qkv_bias = biases(qkv);
    layer.q_norm = head_norm(in_layer(names.q_norm), config_.n_heads);
    layer.k_norm = head_norm(in_layer(names.k_norm), config_.n_kv_heads);
    layer.o = matrix(o, config_.q_size());
    if (config_.o_bias) layer.o_bias = biases(o);
    if (config_.norm_after) {
      layer.attention_output_norm = norm(in_layer(names.attention_output_norm));
    }
    if (config_.norm_before && !config_.parallel_residual) {
      layer.mlp_norm = norm(in_layer(names.mlp_norm));
    }
    layer.gate_up = matrix(gate_up, hidden);
    layer.down = matrix(down, config_.intermediate_size);
    if (config_.mlp_bias) {
      layer.gate_up_bias = biases(gate_up);
      layer.down_bias = biases(down);
    }
    if (config_.norm_after) layer.mlp_output_norm = norm(in_layer(names.mlp_output_norm));
    return layer;
  }

  NormWeights norm(const std::string& module) {
    NormWeights result;
    result.weight = norm_weight({{module + ".weight", config_.hidden_size}});
    if (config_.norm == NormKind::layer_bias) {
      result.bias = vector({{module + ".bias", config_.hidden_size}}, 0.0F);
    }
    return result;
  }

  std::span<const float> head_norm(const std::string& module, Index n_heads) {
    switch (config_.head_norm) {
      case HeadNorm::none:
        return {};
      case HeadNorm::shared_rms:
        return norm_weight({{module + ".weight", config_.head_dim}});
      case HeadNorm::joint_rms:
        return norm_weight({{module + ".weight", n_heads * config_.head_dim}});
      case HeadNorm::separate_layer: {
        Members heads;
        for (Index head = 0; head < n_heads; ++head) {
          heads.push_back({fmt::format("{}.{}.weight", module, head), config_.head_dim});
        }
        return norm_weight(heads);
      }
    }
    return {};
  }

  std::span<const float> norm_weight(const Members& tensors) {
    return vector(tensors, config_.norm_adds_one ? 1.0F : 0.0F);
  }

  std::span<const float> biases(const Members& layers) {
    Members tensors;
    tensors.reserve(layers.size());
    for (const Member& layer : layers) tensors.push_back({layer.module + ".bias", layer.d_out});
    return vector(tensors, 0.0F);
  }

  /// Vectors one after another.
  std::span<const float> vector(const Members& tensors, float added) {
    Index size = 0;
    for (const Member& tensor : tensors) {
      layout_.placements.push_back(
          {tensor.module,
           {tensor.d_out},
           layout_.n_bytes + static_cast<std::size_t>(size) * sizeof(float),
           0,
           0,
           added});
      size += tensor.d_out;
    }
    return floats(size);
  }

  std::span<const float> floats(Index size) {
    const auto n = static_cast<std::size_t>(size);
    const std::byte* place = take(n * sizeof(float));
    return {reinterpret_cast<const float*>(place), place == nullptr ? 0 : n};
  }

  /// One packed matrix, the layers' rows one below another.
  ops::PackedMatrix matrix(const Members& layers, Index d_in) {
    Index d_out = 0;
    for (const Member& layer : layers) d_out += layer.d_out;
    Index first_row = 0;
    for (const Member& layer : layers) {
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
