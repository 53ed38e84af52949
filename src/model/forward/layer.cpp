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
  std::span<const float> bias;  ///< empty = none
  const ops::LowRankUpdate& update;
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
  if (linear.update.empty()) return;
  const Timed time(pass, Phase::low_rank);
  const ops::Rows u = projected.shape(x.n, linear.update.rank());
  linear.update.project(pass.threads, x, u);
  linear.update.expand(pass.threads, u, y);
}

/// x += what the last linear layer of attention or MLP makes of `from`, normalised and scaled where
/// the model does.
/// @param raw  keeps the output before its norm; null = nobody wants it
void add_output(const Pass& pass, const Linear& last, const NormWeights& norm, ops::ConstRows from,
                Activations& activations, Buffer* raw, ops::Rows x) {
  const ModelConfig& config = pass.config;
  if (config.adds_plainly()) return apply(pass, last, from, Onto::y, activations.projected, x);
  const ops::Rows y = activations.output.shape(x.n, x.width);
  apply(pass, last, from, Onto::nothing, activations.projected, y);
  if (config.norm_after) {
    if (raw != nullptr) raw->copy(y);
    normalise(pass, norm, y, y);
  }
  const Timed time(pass, Phase::elementwise);
  ops::add_scaled(pass.threads, config.residual_scale, y, x);
}

void show(const Pass& pass, const Layer& layer, UpdatePlace place, ops::ConstRows x) {
  if (pass.inputs != nullptr) (*pass.inputs)(site_of(place, layer.index), x);
}

/// @param x  heads side by side
void normalise_heads(const Pass& pass, std::span<const float> weight, ops::Rows x) {
  const ModelConfig& config = pass.config;
  if (config.head_norm == HeadNorm::joint_rms) {
    return ops::rms_norm(pass.threads, x, weight, config.norm_eps, x);
  }
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  for (Index head = 0; head * config.head_dim < x.width; ++head) {
    const ops::Rows one = x.columns(head * config.head_dim, config.head_dim);
    switch (config.head_norm) {
      case HeadNorm::none:
      case HeadNorm::joint_rms:
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

/// Norms and rotary embedding of q and k. @param qk  [tokens, q_size + kv_size]
void place_heads(const Pass& pass, const Layer& layer, ops::Rows qk) {
  const Timed time(pass, Phase::elementwise);
  const ModelConfig& config = pass.config;
  const auto normalise_both = [&] {
    if (config.head_norm == HeadNorm::none) return;
    if (layer.record != nullptr) layer.record->heads.copy(qk);
    normalise_heads(pass, layer.weights.q_norm, qk.columns(0, config.q_size()));
    normalise_heads(pass, layer.weights.k_norm, qk.columns(config.q_size(), config.kv_size()));
  };
  if (!config.head_norm_after_rope) normalise_both();
  if (const ops::RotaryTable* table = pass.rotary.of(layer.kind)) {
    table->rotate(pass.threads, qk, config.head_dim, pass.positions);
    grow_queries(pass, layer, qk.columns(0, config.q_size()));
  }
  if (config.head_norm_after_rope) normalise_both();
}

/// @param h  [tokens, hidden] the normalised input
/// @return   [wanted.size(), q_size] before the output projection
ops::Rows attend(const Pass& pass, const Layer& layer, ops::ConstRows h,
                 std::span<const Index> wanted, Activations& activations) {
  const ModelConfig& config = pass.config;
  const ops::Rows qkv = activations.qkv.shape(h.n, config.q_size() + 2 * config.kv_size());
  show(pass, layer, UpdatePlace::qkv, h);
  const ops::Rows q = qkv.columns(0, config.q_size());
  const ops::Rows k = qkv.columns(config.q_size(), config.kv_size());
  const ops::Rows v = qkv.columns(config.q_size() + config.kv_size(), config.kv_size());
  apply(pass, {layer.weights.qkv, layer.weights.qkv_bias, layer.updates.qkv}, h, Onto::nothing,
        activations.projected, qkv);
  place_heads(pass, layer, qkv.columns(0, config.q_size() + config.kv_size()));

  const ops::Rows attended = activations.attended.shape(std::ssize(wanted), config.q_size());
  const Timed time(pass, Phase::attention);
  const ops::AttentionShape shape = attention_shape(config, layer.kind);
  ops::KeyMemory& keys = pass.kept.empty() ? activations.keys : pass.kept[layer.index];
  if (pass.kept.empty()) keys.lay_out(shape, pass.segments);
  keys.put(pass.threads, k, v, pass.places);
  activations.attention(pass.threads, shape, pass.segments, keys, {q, wanted, pass.places},
                        attended);
  return attended;
}

/// x += (act(h Wg^T) * (h Wu^T)) Wd^T. @param h  may be x
void add_mlp(const Pass& pass, const Layer& layer, ops::ConstRows h, ops::Rows x,
             Activations& activations) {
  const Index intermediate = pass.config.intermediate_size;
  const ops::Rows gate_up = activations.gate_up.shape(h.n, 2 * intermediate);
  show(pass, layer, UpdatePlace::gate_up, h);
  apply(pass, {layer.weights.gate_up, layer.weights.gate_up_bias, layer.updates.gate_up}, h,
        Onto::nothing, activations.projected, gate_up);
  const ops::Rows gate = gate_up.columns(0, intermediate);
  if (layer.record != nullptr) layer.record->gate.copy(gate);
  {
    const Timed time(pass, Phase::elementwise);
    ops::gate_in_place(pass.threads, pass.config.activation, gate,
                       gate_up.columns(intermediate, intermediate));
  }
  show(pass, layer, UpdatePlace::down, gate);
  add_output(pass, {layer.weights.down, layer.weights.down_bias, layer.updates.down},
             layer.weights.mlp_output_norm, gate, activations,
             layer.record == nullptr ? nullptr : &layer.record->mlp_output, x);
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
  if (adapter != nullptr && !adapter->embedding.empty()) {
    const ops::Rows u = activations.projected.shape(x.n, adapter->embedding.rank());
    adapter->embedding.project_one_hot(pass.ids, u);
    adapter->embedding.expand(pass.threads, u, x);
  }
  if (!weights.embedding_scale.empty()) {
    ops::scale(pass.threads, weights.embedding_scale.front(), x);
  }
}

void grow_queries(const Pass& pass, const Layer& layer, ops::Rows q) {
  const RopeConfig& rope = pass.config.ropes.at(static_cast<std::size_t>(layer.kind.rope));
  if (rope.query_growth == 0.0) return;
  for (Index t = 0; t < q.n; ++t) {
    const auto position = static_cast<double>(pass.positions[static_cast<std::size_t>(t)]);
    const double turns = std::floor(position / rope.query_growth_from);
    if (turns == 0.0) continue;
    const auto factor = static_cast<float>(1.0 + rope.query_growth * std::log(1.0 + turns));
    ops::scale(pass.threads, factor, q.rows(t, 1));
  }
}

ops::AttentionShape attention_shape(const ModelConfig& config, const LayerKind& kind) {
  return {
      .n_heads = config.n_heads,
      .n_kv_heads = config.n_kv_heads,
      .head_dim = config.head_dim,
      .scale =
          config.attention_scale.value_or(1.0F / std::sqrt(static_cast<float>(config.head_dim))),
      .window = kind.window,
      .cap = config.attention_cap,
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
  const bool norm_before = pass.config.norm_before;
  ops::Rows h = x;
  if (norm_before) {
    h = activations.normalised.shape(x.n, x.width);
    normalise(pass, layer.weights.input_norm, x, h);
  }
  if (layer.record != nullptr) layer.record->input.copy(h);
  const ops::Rows attended = attend(pass, layer, h, wanted, activations);
  show(pass, layer, UpdatePlace::o, attended);
  x = keep_wanted(wanted, x);
  h = norm_before ? keep_wanted(wanted, h) : x;
  add_output(pass, {layer.weights.o, layer.weights.o_bias, layer.updates.o},
             layer.weights.attention_output_norm, attended, activations,
             layer.record == nullptr ? nullptr : &layer.record->attention_output, x);
  if (layer.record != nullptr) layer.record->middle.copy(x);
  if (norm_before && !pass.config.parallel_residual) {
    normalise(pass, layer.weights.mlp_norm, x, h);
  }
  add_mlp(pass, layer, h, x, activations);
  return x;
}

}  // namespace d2c::model
