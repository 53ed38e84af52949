#include "d2c/model/decoder.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/error.hpp"
#include "d2c/ops/attention.hpp"
#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/norm.hpp"
#include "d2c/ops/rope.hpp"

namespace d2c::model {
namespace {

/// A [rows, width] activation whose memory is kept from batch to batch.
class Buffer {
 public:
  ops::Rows shape(Index rows, Index width) {
    ops::grow_to(memory_, static_cast<std::size_t>(rows * width));
    return {memory_.data(), rows, width, width};
  }
  [[nodiscard]] std::size_t held_bytes() const { return ops::held_bytes(memory_); }

 private:
  ops::AlignedFloats memory_;
};

/// Adds the processor time from construction to destruction to a phase.
class Timed {
 public:
  Timed(PhaseSeconds* seconds, Phase phase)
      : total_(seconds == nullptr ? nullptr : &(*seconds)[static_cast<std::size_t>(phase)]),
        start_(total_ == nullptr ? 0.0 : thread_cpu_seconds()) {}
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;
  ~Timed() {
    if (total_ != nullptr) *total_ += thread_cpu_seconds() - start_;
  }

 private:
  double* total_;
  double start_;
};

void check_token(std::int32_t token, Index vocab_size) {
  if (token >= 0 && token < vocab_size) return;
  throw InputError({{}, fmt::format("token {}", token)},
                   {"is outside the model's vocabulary",
                    fmt::format("ids from 0 to {} are known", vocab_size - 1),
                    "check that tokenizer and model belong together"});
}

void check_batch(const ModelConfig& config, const TokenForest& forest,
                 std::span<const Target> targets, Index first_row) {
  for (const std::int32_t id : forest.ids) check_token(id, config.vocab_size);
  for (const Target& target : targets) {
    D2C_EXPECTS(target.row >= first_row && target.row < std::ssize(forest.ids));
    check_token(target.label, config.vocab_size);
  }
  [[maybe_unused]] const auto end_before = [&](Index s) {
    return s == 0 ? Index{0} : forest.segments[static_cast<std::size_t>(s - 1)].end;
  };
  for (Index s = 0; s < std::ssize(forest.segments); ++s) {
    const Segment& segment = forest.segments[static_cast<std::size_t>(s)];
    D2C_EXPECTS(segment.begin == end_before(s) && segment.end > segment.begin &&
                segment.parent < s);
    const Index end = segment.first_position + segment.length();
    if (config.rope.longest > 0 && end > config.rope.longest) {
      throw InputError({},
                       {fmt::format("a sequence has {} tokens", end),
                        fmt::format("the dynamic scaling of positions is supported up to {} tokens",
                                    config.rope.longest),
                        "shorten the example"});
    }
  }
  D2C_EXPECTS(end_before(std::ssize(forest.segments)) == std::ssize(forest.ids));
}

}  // namespace

class Decoder::Workspace {
 public:
  explicit Workspace(const Model& model)
      : config_(model.config()),
        weights_(model.weights()),
        rotary_(config_.rope.inverse_frequencies, config_.rope.attention_factor) {}

  void record_phases(PhaseSeconds* seconds) { phases_ = seconds; }

  [[nodiscard]] std::size_t held_bytes() const {
    std::size_t bytes = rotary_.held_bytes() + attention_.held_bytes() +
                        cross_entropy_.held_bytes() + ops::held_bytes(positions_) +
                        ops::held_bytes(all_rows_) + ops::held_bytes(target_rows_) +
                        ops::held_bytes(labels_);
    for (const Buffer* buffer :
         {&residual_, &normalised_, &qkv_, &attended_, &gate_up_, &projected_}) {
      bytes += buffer->held_bytes();
    }
    return bytes;
  }

  /// @param kept  null = all rows are computed
  std::vector<double> nll(const TokenForest& forest, std::span<const Target> targets,
                          const PreparedAdapter* adapter, KeptTokens* kept, Index n_to_keep) {
    if (targets.empty()) return {};
    adapter_ = adapter;
    kept_ = kept;
    n_to_keep_ = n_to_keep;
    first_row_ = kept == nullptr ? 0 : kept->n;
    if (kept != nullptr) kept->layers.resize(static_cast<std::size_t>(config_.n_layers));
    place(forest, targets);
    x_ = residual_.shape(std::ssize(forest.ids) - first_row_, config_.hidden_size);
    embed(forest);
    for (Index layer = 0; layer < config_.n_layers; ++layer) decoder_layer(forest, layer);
    if (kept != nullptr) kept->n = n_to_keep;
    return score(targets);
  }

 private:
  /// Positions of all rows to be computed, and the rows that a target needs.
  void place(const TokenForest& forest, std::span<const Target> targets) {
    positions_.clear();
    positions_.reserve(forest.ids.size());
    for (const Segment& segment : forest.segments) {
      for (Index i = 0; segment.begin >= first_row_ && i < segment.length(); ++i) {
        positions_.push_back(segment.first_position + i);
      }
    }
    rotary_.extend_to(*std::ranges::max_element(positions_) + 1);
    all_rows_.resize(positions_.size());
    std::iota(all_rows_.begin(), all_rows_.end(), first_row_);
    target_rows_.clear();
    target_rows_.reserve(targets.size());
    for (const Target& target : targets) target_rows_.push_back(target.row);
    std::ranges::sort(target_rows_);
    target_rows_.erase(std::unique(target_rows_.begin(), target_rows_.end()), target_rows_.end());
  }

  [[nodiscard]] Timed timed(Phase phase) const { return {phases_, phase}; }

  void embed(const TokenForest& forest) {
    const Timed time = timed(Phase::elementwise);
    const auto ids = std::span(forest.ids).subspan(static_cast<std::size_t>(first_row_));
    weights_.embedding.copy_rows(ids, x_);
    if (adapter_ == nullptr || adapter_->embedding.empty()) return;
    const ops::Rows u = projected_.shape(x_.n, adapter_->embedding.rank());
    adapter_->embedding.project_one_hot(ids, u);
    adapter_->embedding.expand(u, x_);
  }

  /// x += attention(norm(x)); x += mlp(norm(x)), or both from the same norm(x).
  /// From the last layer only the rows of targets are wanted: x shrinks to them.
  void decoder_layer(const TokenForest& forest, Index index) {
    const LayerWeights& weights = weights_.layers[static_cast<std::size_t>(index)];
    const PreparedAdapter::Layer* updates =
        adapter_ == nullptr ? nullptr : &adapter_->layers[static_cast<std::size_t>(index)];
    const bool is_last = index + 1 == config_.n_layers;

    ops::Rows h = normalised_.shape(x_.n, x_.width);
    normalise(x_, weights.input_norm, h);
    const ops::Rows attended =
        attention(forest, index, h, weights, updates, is_last ? target_rows_ : all_rows_);
    if (is_last) {
      x_ = keep_target_rows(x_);
      h = keep_target_rows(h);
    }
    linear_onto(attended, weights.o, weights.o_bias, updates ? &updates->o : nullptr, x_);
    if (!config_.parallel_residual) normalise(x_, weights.mlp_norm, h);
    mlp(h, weights, updates);
  }

  ops::Rows attention(const TokenForest& forest, Index index, ops::ConstRows h,
                      const LayerWeights& weights, const PreparedAdapter::Layer* updates,
                      std::span<const Index> wanted) {
    const ops::Rows qkv = qkv_.shape(first_row_ + h.n, config_.q_size() + 2 * config_.kv_size());
    const ops::Rows computed = qkv.rows(first_row_, h.n);
    linear(h, weights.qkv, weights.qkv_bias, updates ? &updates->qkv : nullptr, computed);
    place_heads(computed.columns(0, config_.q_size()), weights.q_norm);
    place_heads(computed.columns(config_.q_size(), config_.kv_size()), weights.k_norm);
    const ops::Rows q = qkv.columns(0, config_.q_size());
    const ops::Rows k = qkv.columns(config_.q_size(), config_.kv_size());
    const ops::Rows v = qkv.columns(config_.q_size() + config_.kv_size(), config_.kv_size());
    if (kept_ != nullptr) {
      share_kept(qkv.columns(config_.q_size(), 2 * config_.kv_size()),
                 kept_->layers[static_cast<std::size_t>(index)]);
    }

    const ops::AttentionShape shape{
        .n_heads = config_.n_heads,
        .n_kv_heads = config_.n_kv_heads,
        .head_dim = config_.head_dim,
        .scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim)),
        .window = config_.windows[static_cast<std::size_t>(index)],
    };
    const ops::Rows attended = attended_.shape(std::ssize(wanted), config_.q_size());
    const Timed time = timed(Phase::attention);
    attention_(shape, forest.segments, q, k, v, wanted, attended);
    return attended;
  }

  /// Reads keys and values of the rows that were computed before, and keeps those of new ones.
  /// @param kv  [rows, 2 kv_size]
  void share_kept(ops::Rows kv, ops::AlignedFloats& kept) const {
    const Timed time = timed(Phase::attention);
    for (Index row = 0; row < first_row_; ++row) {
      std::copy_n(kept.data() + row * kv.width, kv.width, kv.row(row));
    }
    kept.reserve(static_cast<std::size_t>(n_to_keep_ * kv.width));
    for (Index row = first_row_; row < n_to_keep_; ++row) {
      kept.insert(kept.end(), kv.row(row), kv.row(row) + kv.width);
    }
  }

  /// x += (act(h Wg^T) * (h Wu^T)) Wd^T
  void mlp(ops::ConstRows h, const LayerWeights& weights, const PreparedAdapter::Layer* updates) {
    const ops::Rows gate_up = gate_up_.shape(h.n, 2 * config_.intermediate_size);
    linear(h, weights.gate_up, weights.gate_up_bias, updates ? &updates->gate_up : nullptr,
           gate_up);
    const ops::Rows gate = gate_up.columns(0, config_.intermediate_size);
    const ops::Rows up = gate_up.columns(config_.intermediate_size, config_.intermediate_size);
    {
      const Timed time = timed(Phase::elementwise);
      ops::gate_in_place(config_.activation, gate, up);
    }
    linear_onto(gate, weights.down, weights.down_bias, updates ? &updates->down : nullptr, x_);
  }

  std::vector<double> score(std::span<const Target> targets) {
    const ops::Rows h = normalised_.shape(x_.n, x_.width);
    normalise(x_, weights_.final_norm, h);
    const ops::Rows predicted = attended_.shape(std::ssize(targets), x_.width);
    labels_.clear();
    labels_.reserve(targets.size());
    for (const Target& target : targets) {
      const auto row = std::ranges::lower_bound(target_rows_, target.row) - target_rows_.begin();
      std::copy_n(h.row(row), h.width, predicted.row(std::ssize(labels_)));
      labels_.push_back(target.label);
    }
    std::vector<double> result(targets.size());
    const Timed time = timed(Phase::cross_entropy);
    const ops::LowRankUpdate none;
    cross_entropy_(predicted, weights_.head, adapter_ ? adapter_->head : none, labels_, result);
    return result;
  }

  /// Norm and rotary embedding of heads side by side.
  void place_heads(ops::Rows x, std::span<const float> norm) const {
    const Timed time = timed(Phase::elementwise);
    normalise_heads(x, norm);
    rotary_.rotate(x, config_.head_dim, positions_);
  }

  void normalise(ops::ConstRows x, const NormWeights& weights, ops::Rows y) const {
    const Timed time = timed(Phase::elementwise);
    if (config_.norm == NormKind::rms) {
      ops::rms_norm(x, weights.weight, config_.norm_eps, y);
    } else {
      ops::layer_norm(x, weights.weight, weights.bias, config_.norm_eps, y);
    }
  }

  void normalise_heads(ops::Rows x, std::span<const float> weight) const {
    const auto head_dim = static_cast<std::size_t>(config_.head_dim);
    for (Index head = 0; head * config_.head_dim < x.width; ++head) {
      const ops::Rows one = x.columns(head * config_.head_dim, config_.head_dim);
      switch (config_.head_norm) {
        case HeadNorm::none:
          return;
        case HeadNorm::shared_rms:
          ops::rms_norm(one, weight, config_.norm_eps, one);
          break;
        case HeadNorm::separate_layer:
          ops::layer_norm(one, weight.subspan(static_cast<std::size_t>(head) * head_dim, head_dim),
                          {}, config_.norm_eps, one);
          break;
      }
    }
  }

  /// y = x W^T + bias + update
  void linear(ops::ConstRows x, const ops::PackedMatrix& w, std::span<const float> bias,
              const ops::LowRankUpdate* update, ops::Rows y) {
    {
      const Timed time = timed(Phase::linear);
      ops::linear(x, w, y);
    }
    add_bias_and_update(x, bias, update, y);
  }

  /// y += x W^T + bias + update
  void linear_onto(ops::ConstRows x, const ops::PackedMatrix& w, std::span<const float> bias,
                   const ops::LowRankUpdate* update, ops::Rows y) {
    {
      const Timed time = timed(Phase::linear);
      ops::add_linear(x, w, y);
    }
    add_bias_and_update(x, bias, update, y);
  }

  void add_bias_and_update(ops::ConstRows x, std::span<const float> bias,
                           const ops::LowRankUpdate* update, ops::Rows y) {
    if (!bias.empty()) {
      const Timed time = timed(Phase::elementwise);
      ops::add_bias(bias, y);
    }
    if (update == nullptr || update->empty()) return;
    const Timed time = timed(Phase::low_rank);
    const ops::Rows u = projected_.shape(x.n, update->rank());
    update->project(x, u);
    update->expand(u, y);
  }

  /// Moves the rows of targets to the front.
  [[nodiscard]] ops::Rows keep_target_rows(ops::Rows rows) const {
    Index kept = 0;
    for (const Index target_row : target_rows_) {
      const Index row = target_row - first_row_;
      if (row != kept) std::copy_n(rows.row(row), rows.width, rows.row(kept));
      ++kept;
    }
    return rows.rows(0, kept);
  }

  const ModelConfig& config_;
  const Weights& weights_;
  const PreparedAdapter* adapter_ = nullptr;
  KeptTokens* kept_ = nullptr;
  Index first_row_ = 0;  ///< of the forest that is computed
  Index n_to_keep_ = 0;  ///< rows
  PhaseSeconds* phases_ = nullptr;
  ops::RotaryTable rotary_;
  ops::Attention attention_;
  ops::CrossEntropy cross_entropy_;

  std::vector<Index> positions_;      ///< [computed tokens]
  std::vector<Index> all_rows_;       ///< first_row_ .. tokens - 1
  std::vector<Index> target_rows_;    ///< ascending, each once
  std::vector<std::int32_t> labels_;  ///< [targets]

  ops::Rows x_;        ///< the residual stream, in residual_
  Buffer residual_;    ///< [tokens, hidden]
  Buffer normalised_;  ///< [tokens, hidden]
  Buffer qkv_;         ///< [tokens, q_size + 2 kv_size]
  Buffer attended_;    ///< [tokens, q_size]; at the end [targets, hidden]
  Buffer gate_up_;     ///< [tokens, 2 intermediate]
  Buffer projected_;   ///< [tokens, sum of ranks]
};

Decoder::Decoder(const Model& model)
    : model_(&model), workspace_(std::make_unique<Workspace>(model)) {}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

void Decoder::record_phases(PhaseSeconds* seconds) { workspace_->record_phases(seconds); }

std::size_t Decoder::workspace_bytes() const { return workspace_->held_bytes(); }

std::vector<double> Decoder::nll(const TokenForest& forest, std::span<const Target> targets,
                                 const PreparedAdapter* adapter) {
  check_batch(model_->config(), forest, targets, 0);
  return workspace_->nll(forest, targets, adapter, nullptr, 0);
}

std::vector<double> Decoder::nll(const TokenForest& forest, std::span<const Target> targets,
                                 const PreparedAdapter* adapter, KeptTokens& kept,
                                 Index n_to_keep) {
  D2C_EXPECTS(kept.n <= n_to_keep && n_to_keep <= std::ssize(forest.ids));
  check_batch(model_->config(), forest, targets, kept.n);
  return workspace_->nll(forest, targets, adapter, &kept, n_to_keep);
}

std::size_t kept_token_bytes(const ModelConfig& config) {
  return static_cast<std::size_t>(config.n_layers * 2 * config.kv_size()) * sizeof(float);
}

}  // namespace d2c::model
