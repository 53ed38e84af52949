#include "d2c/model/decoder.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/rope.hpp"

#include "forward/layer.hpp"

namespace d2c::model {
namespace {

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
    return activations_.held_bytes() + rotary_.held_bytes() + cross_entropy_.held_bytes() +
           ops::held_bytes(positions_) + ops::held_bytes(all_rows_) +
           ops::held_bytes(target_rows_) + ops::held_bytes(labels_);
  }

  /// @param kept  null = all rows are computed
  std::vector<double> nll(ops::ThreadTeam& threads, const TokenForest& forest,
                          std::span<const Target> targets, const PreparedAdapter* adapter,
                          KeptTokens* kept, Index n_to_keep) {
    if (targets.empty()) return {};
    const Index first_row = kept == nullptr ? 0 : kept->n;
    if (kept != nullptr) kept->layers.resize(static_cast<std::size_t>(config_.n_layers));
    place(forest, targets, first_row);
    const Pass pass{config_, threads, rotary_, forest, first_row, positions_, phases_};
    ops::Rows x = activations_.residual.shape(std::ssize(positions_), config_.hidden_size);
    embed(pass, adapter, x);
    for (Index index = 0; index < config_.n_layers; ++index) {
      const auto i = static_cast<std::size_t>(index);
      const Layer layer{weights_.layers[i], adapter == nullptr ? nullptr : &adapter->layers[i],
                        config_.windows[i], kept == nullptr ? nullptr : &kept->layers[i],
                        n_to_keep};
      // From the last layer only the rows of targets are wanted.
      const bool is_last = index + 1 == config_.n_layers;
      x = layer_forward(pass, layer, x, is_last ? target_rows_ : all_rows_, activations_);
    }
    if (kept != nullptr) kept->n = n_to_keep;
    return score(pass, targets, adapter, x);
  }

 private:
  /// Positions of all rows to be computed, and the rows that a target needs.
  void place(const TokenForest& forest, std::span<const Target> targets, Index first_row) {
    positions_.clear();
    positions_.reserve(forest.ids.size());
    for (const Segment& segment : forest.segments) {
      for (Index i = 0; segment.begin >= first_row && i < segment.length(); ++i) {
        positions_.push_back(segment.first_position + i);
      }
    }
    rotary_.extend_to(*std::ranges::max_element(positions_) + 1);
    all_rows_.resize(positions_.size());
    std::iota(all_rows_.begin(), all_rows_.end(), first_row);
    target_rows_.clear();
    target_rows_.reserve(targets.size());
    for (const Target& target : targets) target_rows_.push_back(target.row);
    std::ranges::sort(target_rows_);
    target_rows_.erase(std::unique(target_rows_.begin(), target_rows_.end()), target_rows_.end());
  }

  void embed(const Pass& pass, const PreparedAdapter* adapter, ops::Rows x) {
    const Timed time(pass, Phase::elementwise);
    const auto ids = std::span(pass.forest.ids).subspan(static_cast<std::size_t>(pass.first_row));
    weights_.embedding.copy_rows(pass.threads, ids, x);
    if (adapter == nullptr || adapter->embedding.empty()) return;
    const ops::Rows u = activations_.projected.shape(x.n, adapter->embedding.rank());
    adapter->embedding.project_one_hot(ids, u);
    adapter->embedding.expand(pass.threads, u, x);
  }

  /// @param x  [target rows, hidden] output of the last layer
  std::vector<double> score(const Pass& pass, std::span<const Target> targets,
                            const PreparedAdapter* adapter, ops::ConstRows x) {
    const ops::Rows h = activations_.normalised.shape(x.n, x.width);
    normalise(pass, weights_.final_norm, x, h);
    const ops::Rows predicted = activations_.attended.shape(std::ssize(targets), x.width);
    labels_.clear();
    labels_.reserve(targets.size());
    for (const Target& target : targets) {
      const auto row = std::ranges::lower_bound(target_rows_, target.row) - target_rows_.begin();
      std::copy_n(h.row(row), h.width, predicted.row(std::ssize(labels_)));
      labels_.push_back(target.label);
    }
    std::vector<double> result(targets.size());
    const Timed time(pass, Phase::cross_entropy);
    const ops::LowRankUpdate none;
    cross_entropy_(pass.threads, predicted, weights_.head, adapter ? adapter->head : none, labels_,
                   result);
    return result;
  }

  const ModelConfig& config_;
  const Weights& weights_;
  PhaseSeconds* phases_ = nullptr;
  ops::RotaryTable rotary_;
  Activations activations_;
  ops::CrossEntropy cross_entropy_;

  std::vector<Index> positions_;      ///< [computed tokens]
  std::vector<Index> all_rows_;       ///< the first computed row .. tokens - 1
  std::vector<Index> target_rows_;    ///< ascending, each once
  std::vector<std::int32_t> labels_;  ///< [targets]
};

Decoder::Decoder(const Model& model)
    : model_(&model), workspace_(std::make_unique<Workspace>(model)) {}
Decoder::~Decoder() = default;
Decoder::Decoder(Decoder&&) noexcept = default;
Decoder& Decoder::operator=(Decoder&&) noexcept = default;

void Decoder::record_phases(PhaseSeconds* seconds) { workspace_->record_phases(seconds); }

std::size_t Decoder::workspace_bytes() const { return workspace_->held_bytes(); }

std::vector<double> Decoder::nll(ops::ThreadTeam& threads, const TokenForest& forest,
                                 std::span<const Target> targets, const PreparedAdapter* adapter) {
  check_batch(model_->config(), forest, targets, 0);
  return workspace_->nll(threads, forest, targets, adapter, nullptr, 0);
}

std::vector<double> Decoder::nll(ops::ThreadTeam& threads, const TokenForest& forest,
                                 std::span<const Target> targets, const PreparedAdapter* adapter,
                                 KeptTokens& kept, Index n_to_keep) {
  D2C_EXPECTS(kept.n <= n_to_keep && n_to_keep <= std::ssize(forest.ids));
  check_batch(model_->config(), forest, targets, kept.n);
  return workspace_->nll(threads, forest, targets, adapter, &kept, n_to_keep);
}

std::size_t kept_token_bytes(const ModelConfig& config) {
  return static_cast<std::size_t>(config.n_layers * 2 * config.kv_size()) * sizeof(float);
}

}  // namespace d2c::model
