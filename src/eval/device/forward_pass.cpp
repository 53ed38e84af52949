#include "device/forward_pass.hpp"

#include <algorithm>
#include <cmath>

namespace d2c::eval::device {
namespace {

using model::site_of;
using model::UpdatePlace;

constexpr Index logit_columns = 4096;  // tokens of the vocabulary at a time

float* room(Array<float>& array, Index rows, Index width) {
  return array.fit(static_cast<std::size_t>(padded(rows) * width));
}
Values room(OperandArray& array, Index rows, Index width) {
  return array.fit(padded(rows) * width);
}
Index blocks_of(Index n) { return (n + n_lanes - 1) / n_lanes; }

RowNorm norm_of(const model::ModelConfig& config, const Weights::Norm& norm) {
  return {norm.weight, norm.bias, config.norm_eps, config.norm != model::NormKind::rms};
}

Heads heads_of(const model::ModelConfig& config, float* qkv) {
  return {.qkv = qkv,
          .stride = config.q_size() + 2 * config.kv_size(),
          .n_heads = static_cast<int>(config.n_heads),
          .n_kv_heads = static_cast<int>(config.n_kv_heads),
          .head_dim = static_cast<int>(config.head_dim)};
}

template <int n_heads>
void launch_attention(Backend& backend, const AttentionInput& input, Index n_queries) {
  const Index tasks = n_queries * (input.heads.n_heads / n_heads);
  if (input.heads.head_dim <= 2 * n_lanes) {
    backend.launch(tasks, Attend<n_heads, 2>{input});
  } else if (input.heads.head_dim <= 4 * n_lanes) {
    backend.launch(tasks, Attend<n_heads, 4>{input});
  } else {
    backend.launch(tasks, Attend<n_heads, 8>{input});
  }
}

/// As many heads that share a key head in one task as divide their number.
void launch_attention(Backend& backend, const AttentionInput& input, Index n_queries) {
  const int group = input.heads.n_heads / input.heads.n_kv_heads;
  if (group % 4 == 0) return launch_attention<4>(backend, input, n_queries);
  if (group % 3 == 0) return launch_attention<3>(backend, input, n_queries);
  if (group % 2 == 0) return launch_attention<2>(backend, input, n_queries);
  launch_attention<1>(backend, input, n_queries);
}

}  // namespace

ForwardPass::ForwardPass(Backend& backend, const model::ModelConfig& config, const Sites& sites,
                         const Weights& weights)
    : backend_(backend),
      config_(config),
      sites_(sites),
      weights_(weights),
      rotary_(backend, config),
      tables_{backend},
      buffers_{backend, weights.is_bf16()} {}

void ForwardPass::start(const PassTables& tables) {
  upload(tables);
  if (targets_.n == 0) return;
  float* x = embed();
  for (std::size_t index = 0; index < weights_.layers.size(); ++index) x = layer(index, x);
  predict(x);
}

std::vector<double> ForwardPass::finish() {
  std::vector<LogitSum> sums(static_cast<std::size_t>(targets_.n));
  buffers_.sums.read(sums);
  std::vector<double> nll;
  nll.reserve(sums.size());
  for (const LogitSum& of : sums) {
    nll.push_back(std::log(of.sum) + double{of.maximum} - double{of.label_logit});
  }
  return nll;
}

void ForwardPass::upload(const PassTables& tables) {
  tables_.ids.assign(tables.ids);
  tables_.positions.assign(tables.positions);
  tables_.chain_begin.assign(tables.chain_begin);
  tables_.chain_rows.assign(tables.chain_rows);
  tables_.wanted.assign(tables.wanted);
  tables_.target_wanted.assign(tables.target_wanted);
  tables_.labels.assign(tables.labels);
  const auto rows = [](Index n, const std::vector<Tile>& tiles, Array<Tile>& there) {
    return RowSet{n, there.assign(tiles), std::ssize(tiles)};
  };
  all_ = rows(tables.n_rows(), tables.row_tiles, tables_.row_tiles);
  wanted_ = rows(tables.n_wanted(), tables.wanted_tiles, tables_.wanted_tiles);
  targets_ = rows(tables.n_targets(), tables.target_tiles, tables_.target_tiles);
  n_adapters_ = tables.adapters.size();
  ranks_.assign(sites_.size(), 0);
  std::vector<Update> updates;
  for (std::size_t site = 0; site < sites_.size(); ++site) {
    for (const Adapter* adapter : tables.adapters) {
      updates.push_back(adapter->updates()[site]);
      ranks_[site] = std::max(ranks_[site], updates.back().rank);
    }
  }
  tables_.updates.assign(updates);
  is_long_ = tables.is_long;
  rotary_.extend_to(tables.n_positions, is_long_);
}

const float* ForwardPass::project(std::size_t site, const RowSet& rows, Values x, Index d_in) {
  const Index rank = ranks_[site];
  if (rank == 0) return nullptr;
  const Update* updates = tables_.updates.data() + site * n_adapters_;
  float* u = room(buffers_.u, rows.n, rank);
  if (site == Sites::embedding) {
    backend_.launch(rows.n_tiles, ProjectOneHot{.tiles = rows.tiles,
                                                .updates = updates,
                                                .ids = tables_.ids.data(),
                                                .u = u,
                                                .stride = rank});
  } else {
    backend_.launch(rows.n_tiles * blocks_of(rank), Project{.tiles = rows.tiles,
                                                            .updates = updates,
                                                            .blocks = blocks_of(rank),
                                                            .x = x,
                                                            .d_in = d_in,
                                                            .u = u,
                                                            .stride = rank});
  }
  return u;
}

void ForwardPass::expand(std::size_t site, const RowSet& rows, const float* u, Index first,
                         Index width, float* y) {
  if (u == nullptr) return;
  backend_.launch(rows.n_tiles * blocks_of(width),
                  Expand{.tiles = rows.tiles,
                         .updates = tables_.updates.data() + site * n_adapters_,
                         .blocks = blocks_of(width),
                         .u = u,
                         .u_stride = ranks_[site],
                         .first_column = first,
                         .width = width,
                         .y = y});
}

void ForwardPass::apply(const Linear& linear, const RowSet& rows, Values x, bool adds, float* y) {
  backend_.multiply({.x = x,
                     .w = linear.w,
                     .y = y,
                     .m = rows.n,
                     .n = linear.d_out,
                     .k = linear.d_in,
                     .adds = adds});
  if (linear.bias != nullptr) {
    backend_.launch(rows.n, AddBias{.bias = linear.bias, .width = linear.d_out, .y = y});
  }
  expand(linear.site, rows, project(linear.site, rows, x, linear.d_in), 0, linear.d_out, y);
}

void ForwardPass::add_output(const Linear& linear, const Weights::Norm& norm, const RowSet& rows,
                             Values from, float* x) {
  if (config_.adds_plainly()) return apply(linear, rows, from, true, x);
  const Index width = linear.d_out;
  const float factor = config_.residual_scale;
  float* y = room(buffers_.out, rows.n, width);
  apply(linear, rows, from, false, y);
  if (config_.norm_after) {
    backend_.launch(rows.n, AddNormalised{norm_of(config_, norm), y, width, factor, x});
  } else {
    backend_.launch(rows.n, AddScaled{y, width, factor, x});
  }
}

void ForwardPass::take_rows(Index n, Values from, const std::int32_t* rows, float factor,
                            Values to) {
  backend_.launch(n, TakeRows{from, rows, config_.hidden_size, factor, to});
}

void ForwardPass::prepare(const Weights::Norm& norm, const RowSet& rows, const float* x, Values h) {
  const Index width = config_.hidden_size;
  if (config_.norm_before) {
    backend_.launch(rows.n, Normalise{norm_of(config_, norm), x, width, width, h, width});
  } else {
    take_rows(rows.n, {const_cast<float*>(x), false}, nullptr, 1.0F, h);
  }
}

void ForwardPass::normalise_jointly(const Weights::Layer& layer, float* qkv) {
  if (config_.head_norm != model::HeadNorm::joint_rms) return;
  const Index stride = config_.q_size() + 2 * config_.kv_size();
  const auto normalise = [&](const float* weight, float* x, Index width) {
    const RowNorm norm{weight, nullptr, config_.norm_eps, false};
    backend_.launch(all_.n, Normalise{norm, x, stride, width, {x, false}, stride});
  };
  normalise(layer.q_norm, qkv, config_.q_size());
  normalise(layer.k_norm, qkv + config_.q_size(), config_.kv_size());
}

void ForwardPass::place_heads(std::size_t index, const Heads& heads) {
  const Weights::Layer& layer = weights_.layers[index];
  const model::LayerKind& kind = config_.kinds[index];
  const Rotary::Table rotary = rotary_.of(kind, is_long_);
  const model::RopeConfig none;
  const model::RopeConfig& rope =
      kind.rope == model::no_rope ? none : config_.ropes[static_cast<std::size_t>(kind.rope)];
  const bool is_joint = config_.head_norm == model::HeadNorm::joint_rms;
  const bool is_per_head = config_.head_norm == model::HeadNorm::separate_layer;
  const auto head_norm = [&](const float* weight) {
    return RowNorm{is_joint ? nullptr : weight, nullptr, config_.norm_eps, is_per_head};
  };
  if (!config_.head_norm_after_rope) normalise_jointly(layer, heads.qkv);
  backend_.launch(all_.n * (heads.n_heads + heads.n_kv_heads),
                  PlaceHead{.heads = heads,
                            .positions = tables_.positions.data(),
                            .cos = rotary.cos,
                            .sin = rotary.sin,
                            .half = rotary.half,
                            .growth = rope.query_growth,
                            .growth_from = rope.query_growth_from,
                            .q_norm = head_norm(layer.q_norm),
                            .k_norm = head_norm(layer.k_norm),
                            .weight_per_head = is_per_head,
                            .norm_after = config_.head_norm_after_rope});
  if (config_.head_norm_after_rope) normalise_jointly(layer, heads.qkv);
}

Values ForwardPass::attend(std::size_t index, const Heads& heads, const RowSet& rows,
                           const std::int32_t* queries) {
  const Index key_stride = padded(all_.n);
  float* keys = room(buffers_.keys, all_.n, config_.kv_size());
  backend_.launch(all_.n, StoreKeys{heads, keys, key_stride});
  const Values attended = room(buffers_.attended, rows.n, config_.q_size());
  launch_attention(backend_,
                   {.heads = heads,
                    .keys = keys,
                    .key_stride = key_stride,
                    .positions = tables_.positions.data(),
                    .chain_begin = tables_.chain_begin.data(),
                    .chain_rows = tables_.chain_rows.data(),
                    .queries = queries,
                    .scale = config_.attention_scale.value_or(
                        1.0F / std::sqrt(static_cast<float>(heads.head_dim))),
                    .window = config_.kinds[index].window,
                    .cap = config_.attention_cap,
                    .out = attended},
                   rows.n);
  return attended;
}

void ForwardPass::add_mlp(std::size_t index, const RowSet& rows, Values h, float* x) {
  const Weights::Layer& layer = weights_.layers[index];
  const Index width = config_.hidden_size;
  const Index inner = config_.intermediate_size;
  float* gate_up = room(buffers_.gate_up, rows.n, 2 * inner);
  apply({layer.gate_up, layer.gate_up_bias, site_of(UpdatePlace::gate_up, index), width, 2 * inner},
        rows, h, false, gate_up);
  const Values gate = room(buffers_.gate, rows.n, inner);
  backend_.launch(rows.n, Gate{gate_up, inner, config_.activation, gate});
  add_output({layer.down, layer.down_bias, site_of(UpdatePlace::down, index), inner, width},
             layer.mlp_output_norm, rows, gate, x);
}

float* ForwardPass::embed() {
  const Index width = config_.hidden_size;
  float* x = room(buffers_.x, all_.n, width);
  backend_.launch(all_.n, Embed{weights_.embedding, tables_.ids.data(), width, x});
  expand(Sites::embedding, all_, project(Sites::embedding, all_, {}, config_.vocab_size), 0, width,
         x);
  if (weights_.embedding_scale != 1.0F) {
    take_rows(all_.n, {x, false}, nullptr, weights_.embedding_scale, {x, false});
  }
  return x;
}

float* ForwardPass::layer(std::size_t index, float* x) {
  const Weights::Layer& layer = weights_.layers[index];
  const Index width = config_.hidden_size;
  Values h = room(buffers_.h, all_.n, width);
  prepare(layer.input_norm, all_, x, h);
  const Index qkv_width = config_.q_size() + 2 * config_.kv_size();
  const Heads heads = heads_of(config_, room(buffers_.qkv, all_.n, qkv_width));
  apply({layer.qkv, layer.qkv_bias, site_of(UpdatePlace::qkv, index), width, qkv_width}, all_, h,
        false, heads.qkv);
  place_heads(index, heads);
  // From the last layer only the wanted rows are needed.
  const bool is_last = index + 1 == weights_.layers.size();
  const RowSet& rows = is_last ? wanted_ : all_;
  const std::int32_t* queries = is_last ? tables_.wanted.data() : nullptr;
  const Values attended = attend(index, heads, rows, queries);
  if (is_last) {
    float* kept = room(buffers_.kept, rows.n, width);
    take_rows(rows.n, {x, false}, queries, 1.0F, {kept, false});
    x = kept;
    const Values kept_h = room(buffers_.kept_h, rows.n, width);
    if (config_.parallel_residual) take_rows(rows.n, h, queries, 1.0F, kept_h);
    h = kept_h;
  }
  add_output({layer.o, layer.o_bias, site_of(UpdatePlace::o, index), config_.q_size(), width},
             layer.attention_output_norm, rows, attended, x);
  if (!config_.parallel_residual) prepare(layer.mlp_norm, rows, x, h);
  add_mlp(index, rows, h, x);
  return x;
}

void ForwardPass::predict(float* x) {
  const Index width = config_.hidden_size;
  backend_.launch(
      wanted_.n,
      Normalise{norm_of(config_, weights_.final_norm), x, width, width, {x, false}, width});
  const Values predicted = room(buffers_.predicted, targets_.n, width);
  take_rows(targets_.n, {x, false}, tables_.target_wanted.data(), config_.logit_scale, predicted);
  buffers_.sums.assign(std::vector<LogitSum>(static_cast<std::size_t>(targets_.n)));
  add_logits(predicted, targets_, project(sites_.head(), targets_, predicted, width));
}

void ForwardPass::add_logits(Values predicted, const RowSet& targets, const float* u) {
  const Index width = config_.hidden_size;
  for (Index first = 0; first < config_.vocab_size; first += logit_columns) {
    const Index n = std::min(logit_columns, config_.vocab_size - first);
    float* logits = room(buffers_.logits, targets.n, n);
    backend_.multiply({.x = predicted,
                       .w = weights_.head.from(first * width),
                       .y = logits,
                       .m = targets.n,
                       .n = n,
                       .k = width});
    expand(sites_.head(), targets, u, first, n, logits);
    backend_.launch(targets.n, AddLogits{.logits = logits,
                                         .width = n,
                                         .first_token = first,
                                         .labels = tables_.labels.data(),
                                         .cap = config_.logit_cap,
                                         .sums = buffers_.sums.data()});
  }
}

std::size_t bytes_per_row(const model::ModelConfig& config, bool is_bf16, Index joint_rank) {
  const Index hidden = config.hidden_size;
  const Index in_floats = 2 * hidden + config.q_size() + 3 * config.kv_size() +
                          2 * config.intermediate_size + joint_rank +
                          std::min(logit_columns, config.vocab_size) +
                          (config.adds_plainly() ? 0 : hidden);
  const Index in_operands = 3 * hidden + config.q_size() + config.intermediate_size;
  const std::size_t operand = is_bf16 ? sizeof(std::uint16_t) : sizeof(float);
  const std::size_t bytes = static_cast<std::size_t>(in_floats) * sizeof(float) +
                            static_cast<std::size_t>(in_operands) * operand;
  // Ids, positions, targets and tiles; chains, where ten sequences share what a row is in.
  constexpr std::size_t tables = 64 + 10 * sizeof(std::int32_t) + sizeof(LogitSum);
  return bytes + tables;
}

}  // namespace d2c::eval::device
