#include "backward/layer_backward.hpp"

#include <algorithm>

#include "d2c/ops/linear.hpp"
#include "d2c/ops/norm.hpp"

namespace d2c::model {
namespace {

/// A linear layer whose derivative is wanted.
struct Linear {
  const ops::PackedMatrix& w;
  const ops::LowRankUpdate& update;
  ops::UpdateGradient& sum;
};

/// dx = derivative of x W^T + update, and those of the update's factors.
void linear_backward(const Pass& pass, const Linear& linear, ops::ConstRows x, ops::ConstRows dy,
                     BackwardActivations& backward, ops::Rows dx) {
  {
    const Timed time(pass, Phase::linear);
    backward.products.product(pass.threads, dy, linear.w, dx);
  }
  if (linear.update.empty()) return;
  const Timed time(pass, Phase::low_rank);
  const Index rank = linear.update.rank();
  const ops::Rows both = backward.projected.shape(2 * x.n, rank);
  const ops::Rows u = both.rows(0, x.n);
  const ops::Rows du = both.rows(x.n, x.n);
  linear.update.project(pass.threads, x, u);
  linear.update.expand_backward(pass.threads, backward.products, u, dy, du, linear.sum);
  linear.update.add_project_backward(pass.threads, backward.products, x, du, dx, linear.sum);
}

/// The derivative with respect to what the last linear layer of attention or MLP gives, from that
/// of the residual stream which it was added to.
/// @param raw  the output before its norm, if it has one
ops::ConstRows output_backward(const Pass& pass, const NormWeights& norm, Buffer& raw,
                               ops::ConstRows dy, Buffer& buffer) {
  const ModelConfig& config = pass.config;
  if (config.adds_plainly()) return dy;
  const ops::Rows d = buffer.shape(dy.n, dy.width);
  if (config.norm_after) {
    ops::clear(d);
    add_norm_backward(pass, norm, raw.shape(dy.n, dy.width), dy, d);
  } else {
    ops::copy(dy, d);
  }
  const Timed time(pass, Phase::elementwise);
  ops::scale(pass.threads, config.residual_scale, d);
  return d;
}

/// dx += the derivative of what attention or MLP reads of x.
void add_input_backward(const Pass& pass, const NormWeights& norm, ops::ConstRows x,
                        ops::ConstRows dh, ops::Rows dx) {
  if (pass.config.norm_before) return add_norm_backward(pass, norm, x, dh, dx);
  const Timed time(pass, Phase::elementwise);
  ops::add_scaled(pass.threads, 1.0F, dh, dx);
}

/// From the derivative after the norms of heads to that before them, in place.
/// @param raw  heads side by side as they were before
void head_norm_backward(const Pass& pass, std::span<const float> weight, ops::ConstRows raw,
                        ops::Rows scratch, ops::Rows d) {
  const ModelConfig& config = pass.config;
  const auto head_dim = static_cast<std::size_t>(config.head_dim);
  ops::clear(scratch);
  if (config.head_norm == HeadNorm::joint_rms) {
    ops::add_rms_norm_backward(pass.threads, raw, weight, config.norm_eps, d, scratch);
    return ops::copy(scratch, d);
  }
  for (Index head = 0; head * config.head_dim < d.width; ++head) {
    const Index first = head * config.head_dim;
    const ops::ConstRows x = raw.columns(first, config.head_dim);
    const ops::Rows dy = d.columns(first, config.head_dim);
    const ops::Rows dx = scratch.columns(first, config.head_dim);
    if (config.head_norm == HeadNorm::shared_rms) {
      ops::add_rms_norm_backward(pass.threads, x, weight, config.norm_eps, dy, dx);
    } else {
      ops::add_layer_norm_backward(
          pass.threads, x, weight.subspan(static_cast<std::size_t>(head) * head_dim, head_dim),
          config.norm_eps, dy, dx);
    }
  }
  ops::copy(scratch, d);
}

/// From the derivative of q and k as attention reads them to that of the linear layer's output.
/// @param d  [tokens, q_size + kv_size]
void heads_backward(const Pass& pass, const Layer& layer, BackwardActivations& backward,
                    ops::Rows d) {
  const Timed time(pass, Phase::elementwise);
  const ModelConfig& config = pass.config;
  const auto norms_backward = [&] {
    if (config.head_norm == HeadNorm::none) return;
    const Index q_size = config.q_size();
    const Index kv_size = config.kv_size();
    const ops::ConstRows raw = layer.record->heads.shape(d.n, q_size + kv_size);
    const ops::Rows scratch = backward.heads.shape(d.n, q_size);
    head_norm_backward(pass, layer.weights.q_norm, raw.columns(0, q_size), scratch,
                       d.columns(0, q_size));
    head_norm_backward(pass, layer.weights.k_norm, raw.columns(q_size, kv_size),
                       scratch.columns(0, kv_size), d.columns(q_size, kv_size));
  };
  if (config.head_norm_after_rope) norms_backward();
  if (const ops::RotaryTable* table = pass.rotary.of(layer.kind)) {
    grow_queries(pass, layer, d.columns(0, config.q_size()));
    table->rotate_backward(pass.threads, d, config.head_dim, pass.positions);
  }
  if (!config.head_norm_after_rope) norms_backward();
}

/// dh of the MLP, given the derivative of the residual stream after it. @return [wanted, hidden]
ops::Rows mlp_backward(const Pass& pass, const Layer& layer, ops::ConstRows dy,
                       Activations& activations, BackwardActivations& backward,
                       AdapterGradient::Layer& sum) {
  const Index intermediate = pass.config.intermediate_size;
  const ops::Rows gate_up = activations.gate_up.shape(dy.n, 2 * intermediate);
  const ops::Rows gate = gate_up.columns(0, intermediate);
  const ops::Rows d = backward.gate.shape(dy.n, intermediate);
  linear_backward(pass, {layer.weights.down, layer.updates.down, sum.down}, gate,
                  output_backward(pass, layer.weights.mlp_output_norm, layer.record->mlp_output, dy,
                                  backward.output),
                  backward, d);
  {
    const Timed time(pass, Phase::elementwise);
    ops::copy(layer.record->gate.shape(dy.n, intermediate), gate);
    ops::gate_backward_in_place(pass.threads, pass.config.activation, d, gate,
                                gate_up.columns(intermediate, intermediate));
  }
  const ops::Rows dh = backward.mlp_input.shape(dy.n, pass.config.hidden_size);
  linear_backward(pass, {layer.weights.gate_up, layer.updates.gate_up, sum.gate_up},
                  (pass.config.norm_before ? activations.normalised : layer.record->middle)
                      .shape(dy.n, dh.width),
                  gate_up, backward, dh);
  return dh;
}

/// dh of attention, given the derivative of the residual stream after it. @return [tokens, hidden]
ops::Rows attention_backward(const Pass& pass, const Layer& layer, ops::ConstRows dy,
                             std::span<const Index> wanted, Activations& activations,
                             BackwardActivations& backward, AdapterGradient::Layer& sum) {
  const ModelConfig& config = pass.config;
  const Index n = std::ssize(pass.positions);
  const Index q_size = config.q_size();
  const Index kv_size = config.kv_size();
  const ops::Rows dattended = backward.attended.shape(dy.n, q_size);
  linear_backward(pass, {layer.weights.o, layer.updates.o, sum.o},
                  activations.attended.shape(dy.n, q_size),
                  output_backward(pass, layer.weights.attention_output_norm,
                                  layer.record->attention_output, dy, backward.output),
                  backward, dattended);

  const ops::Rows qkv = activations.qkv.shape(n, q_size + 2 * kv_size);
  const ops::Rows d = backward.qkv.shape(n, q_size + 2 * kv_size);
  {
    const Timed time(pass, Phase::attention);
    backward.attention(
        pass.threads, attention_shape(config, layer.kind), pass.segments, qkv.columns(0, q_size),
        qkv.columns(q_size, kv_size), qkv.columns(q_size + kv_size, kv_size), wanted, dattended,
        d.columns(0, q_size), d.columns(q_size, kv_size), d.columns(q_size + kv_size, kv_size));
  }
  heads_backward(pass, layer, backward, d.columns(0, q_size + kv_size));
  const ops::Rows dh = backward.input.shape(n, config.hidden_size);
  linear_backward(pass, {layer.weights.qkv, layer.updates.qkv, sum.qkv},
                  layer.record->input.shape(n, dh.width), d, backward, dh);
  return dh;
}

/// Moves the first rows to where they are wanted; the others become zero.
void spread(std::span<const Index> wanted, ops::Rows rows) {
  Index next = std::ssize(wanted);
  if (next == rows.n) return;
  for (Index row = rows.n - 1; row >= 0; --row) {
    if (next > 0 && wanted[static_cast<std::size_t>(next - 1)] == row) {
      --next;
      if (next != row) std::copy_n(rows.row(next), rows.width, rows.row(row));
    } else {
      std::fill_n(rows.row(row), rows.width, 0.0F);
    }
  }
}

}  // namespace

std::size_t BackwardActivations::held_bytes() const {
  std::size_t bytes = attention.held_bytes() + products.held_bytes();
  for (const Buffer* buffer :
       {&gate, &mlp_input, &attended, &qkv, &heads, &input, &output, &projected}) {
    bytes += buffer->held_bytes();
  }
  return bytes;
}

void add_norm_backward(const Pass& pass, const NormWeights& weights, ops::ConstRows x,
                       ops::ConstRows dy, ops::Rows dx) {
  const Timed time(pass, Phase::elementwise);
  const float eps = pass.config.norm_eps;
  if (pass.config.norm == NormKind::rms) {
    ops::add_rms_norm_backward(pass.threads, x, weights.weight, eps, dy, dx);
  } else {
    ops::add_layer_norm_backward(pass.threads, x, weights.weight, eps, dy, dx);
  }
}

void layer_backward(const Pass& pass, const Layer& layer, ops::ConstRows x,
                    std::span<const Index> wanted, Activations& activations,
                    BackwardActivations& backward, AdapterGradient::Layer& sum, ops::Rows dx) {
  D2C_EXPECTS(layer.record != nullptr);
  const Index n = std::ssize(wanted);
  const ops::Rows dy = dx.rows(0, n);
  const ops::Rows dh_mlp = mlp_backward(pass, layer, dy, activations, backward, sum);
  if (!pass.config.parallel_residual) {
    add_input_backward(pass, layer.weights.mlp_norm, layer.record->middle.shape(n, x.width), dh_mlp,
                       dy);
  }
  const ops::Rows dh = attention_backward(pass, layer, dy, wanted, activations, backward, sum);
  if (pass.config.parallel_residual) {
    for (Index i = 0; i < n; ++i) {
      float* row = dh.row(wanted[static_cast<std::size_t>(i)]);
      for (Index j = 0; j < dh.width; ++j) row[j] += dh_mlp.row(i)[j];
    }
  }
  spread(wanted, dx);
  add_input_backward(pass, layer.weights.input_norm, x, dh, dx);
}

}  // namespace d2c::model
