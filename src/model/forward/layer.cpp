#include "forward/layer.hpp"

#include <algorithm>
#include <cmath>

#include "d2c/ops/activation.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/norm.hpp"

namespace d2c::model {
namespace {

/// A linear layer with its bias and the adapter's update.
struct Linear {
  const ops::PackedMatrix& w;
  std::span<const float> bias;                 ///< empty = none
  const ops::LowRankUpdate* update = nullptr;  ///< null or empty = none
};

enum class Onto { nothing, y };

/// y = x W^T + bias + update, or y += the same
void apply(const Pass& pass, const Linear& linear, ops::ConstRows x, Onto onto, Buffer& projected,
           ops::Rows y) {
  {
    const Timed time(pass, Phase::linear);
    if (onto == Onto::nothing) {
      ops::linear(pass.threads, x, linear.w, y);
    } else {
      ops::add_linear(pass.threads, x, linear.w, y);
    }
  }
  if (!linear.bias.empty()) {
    const Timed time(pass, Phase::elementwise);
    ops::add_bias(pass.threads, linear.bias, y);
  }
  if (linear.update == nullptr || linear.update->empty()) return;
  const Timed time(pass, Phase::low_rank);
  const ops::Rows u = projected.shape(x.n, linear.update->rank());
  linear.update->project(pass.threads, x, u);
  linear.update->expand(pass.threads, u, y);
}

void show(const Layer& layer, UpdatePlace place, ops::ConstRows x) {
  if (layer.inputs != nullptr) (*layer.inputs)(place, x);
}

void normalise_heads(const Pass& pass, std::span<const float> weight, ops::Rows x) {
  const ModelConfig& config = pass.config;
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  for (Index head = 0; head * config.head_dim < x.width; ++head) {
    const ops::Rows one = x.columns(head * config.head_dim, config.head_dim);
    switch (config.head_norm) {
      case HeadNorm::none:
        return;
      case HeadNorm::shared_rms:
        ops::rms_norm(pass.threads, one, weight, config.norm_eps, one);
        break;
      case HeadNorm::separate_layer:
        ops::layer_norm(pass.threads, one,
                        weight.subspan(static_cast<std::size_t>(head) * head_dim, head_dim), {},
                        config.norm_eps, one);
        break;
    }
  }
}

/// Norm and rotary embedding of heads side by side.
void place_heads(const Pass& pass, std::span<const float> norm, ops::Rows x) {
  const Timed time(pass, Phase::elementwise);
  normalise_heads(pass, norm, x);
  pass.rotary.rotate(pass.threads, x, pass.config.head_dim, pass.positions);
}

/// @param h  [tokens, hidden] the normalised input
/// @return   [wanted.size(), q_size] before the output projection
ops::Rows attend(const Pass& pass, const Layer& layer, ops::ConstRows h,
                 std::span<const Index> wanted, Activations& activations) {
  const ModelConfig& config = pass.config;
  const ops::Rows qkv = activations.qkv.shape(h.n, config.q_size() + 2 * config.kv_size());
  show(layer, UpdatePlace::qkv, h);
  const ops::Rows q = qkv.columns(0, config.q_size());
  const ops::Rows k = qkv.columns(config.q_size(), config.kv_size());
  const ops::Rows v = qkv.columns(config.q_size() + config.kv_size(), config.kv_size());
  apply(pass,
        {layer.weights.qkv, layer.weights.qkv_bias,
         layer.updates == nullptr ? nullptr : &layer.updates->qkv},
        h, Onto::nothing, activations.projected, qkv);
  if (layer.record != nullptr && config.head_norm != HeadNorm::none) {
    layer.record->heads.copy(qkv.columns(0, config.q_size() + config.kv_size()));
  }
  place_heads(pass, layer.weights.q_norm, q);
  place_heads(pass, layer.weights.k_norm, k);

  const ops::Rows attended = activations.attended.shape(std::ssize(wanted), config.q_size());
  const Timed time(pass, Phase::attention);
  const ops::AttentionShape shape = attention_shape(config, layer);
  ops::KeyMemory& keys = layer.kept == nullptr ? activations.keys : *layer.kept;
  if (layer.kept == nullptr) keys.lay_out(shape, pass.segments);
  keys.put(pass.threads, k, v, pass.places);
  activations.attention(pass.threads, shape, pass.segments, keys, {q, wanted, pass.places},
                        attended);
  return attended;
}

/// x += (act(h Wg^T) * (h Wu^T)) Wd^T
void add_mlp(const Pass& pass, const Layer& layer, ops::ConstRows h, ops::Rows x,
             Activations& activations) {
  const PreparedAdapter::Layer* updates = layer.updates;
  const Index intermediate = pass.config.intermediate_size;
  const ops::Rows gate_up = activations.gate_up.shape(h.n, 2 * intermediate);
  show(layer, UpdatePlace::gate_up, h);
  apply(pass,
        {layer.weights.gate_up, layer.weights.gate_up_bias,
         updates == nullptr ? nullptr : &updates->gate_up},
        h, Onto::nothing, activations.projected, gate_up);
  const ops::Rows gate = gate_up.columns(0, intermediate);
  if (layer.record != nullptr) layer.record->gate.copy(gate);
  {
    const Timed time(pass, Phase::elementwise);
    ops::gate_in_place(pass.threads, pass.config.activation, gate,
                       gate_up.columns(intermediate, intermediate));
  }
  show(layer, UpdatePlace::down, gate);
  apply(
      pass,
      {layer.weights.down, layer.weights.down_bias, updates == nullptr ? nullptr : &updates->down},
      gate, Onto::y, activations.projected, x);
}

/// Moves the wanted rows to the front. @param rows  [tokens, ...]
ops::Rows keep_wanted(std::span<const Index> wanted, ops::Rows rows) {
  if (std::ssize(wanted) == rows.n) return rows;
  Index kept = 0;
  for (const Index row : wanted) {
    if (row != kept) std::copy_n(rows.row(row), rows.width, rows.row(kept));
    ++kept;
  }
  return rows.rows(0, kept);
}

}  // namespace

void embed(const Pass& pass, const Weights& weights, const PreparedAdapter* adapter,
           Activations& activations, ops::Rows x) {
  const Timed time(pass, Phase::elementwise);
  weights.embedding.copy_rows(pass.threads, pass.ids, x);
  if (adapter == nullptr || adapter->embedding.empty()) return;
  const ops::Rows u = activations.projected.shape(x.n, adapter->embedding.rank());
  adapter->embedding.project_one_hot(pass.ids, u);
  adapter->embedding.expand(pass.threads, u, x);
}

ops::AttentionShape attention_shape(const ModelConfig& config, const Layer& layer) {
  return {
      .n_heads = config.n_heads,
      .n_kv_heads = config.n_kv_heads,
      .head_dim = config.head_dim,
      .scale = 1.0F / std::sqrt(static_cast<float>(config.head_dim)),
      .window = layer.window,
  };
}

void normalise(const Pass& pass, const NormWeights& weights, ops::ConstRows x, ops::Rows y) {
  const Timed time(pass, Phase::elementwise);
  const float eps = pass.config.norm_eps;
  if (pass.config.norm == NormKind::rms) {
    ops::rms_norm(pass.threads, x, weights.weight, eps, y);
  } else {
    ops::layer_norm(pass.threads, x, weights.weight, weights.bias, eps, y);
  }
}

ops::Rows layer_forward(const Pass& pass, const Layer& layer, ops::Rows x,
                        std::span<const Index> wanted, Activations& activations) {
  ops::Rows h = activations.normalised.shape(x.n, x.width);
  normalise(pass, layer.weights.input_norm, x, h);
  if (layer.record != nullptr) layer.record->input.copy(h);
  const ops::Rows attended = attend(pass, layer, h, wanted, activations);
  show(layer, UpdatePlace::o, attended);
  x = keep_wanted(wanted, x);
  h = keep_wanted(wanted, h);
  apply(pass,
        {layer.weights.o, layer.weights.o_bias,
         layer.updates == nullptr ? nullptr : &layer.updates->o},
        attended, Onto::y, activations.projected, x);
  if (layer.record != nullptr) layer.record->middle.copy(x);
  if (!pass.config.parallel_residual) normalise(pass, layer.weights.mlp_norm, x, h);
  add_mlp(pass, layer, h, x, activations);
  return x;
}

}  // namespace d2c::model
