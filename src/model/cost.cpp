#include "d2c/model/cost.hpp"

#include <algorithm>
#include <iterator>
#include <vector>

#include "d2c/ops/attention.hpp"
#include "d2c/ops/backward.hpp"
#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/linear.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"

namespace d2c::model {

std::size_t activation_bytes(const ModelConfig& config, const BatchSize& batch, Index adapter_rank,
                             Index n_threads) {
  const Index per_token = 2 * config.hidden_size + 2 * config.q_size() + 2 * config.kv_size() +
                          2 * config.intermediate_size + adapter_rank +
                          (config.adds_plainly() ? 0 : config.hidden_size);
  const Index tables = std::ssize(config.ropes) * (config.short_until() > 0 ? 2 : 1);
  const Index rotary = tables * batch.longest * config.head_dim;
  const Index floats = batch.n_tokens * per_token + batch.n_targets * config.hidden_size + rotary;
  // Positions and row numbers; rows and labels of targets.
  const auto lists =
      static_cast<std::size_t>(2 * batch.n_tokens + 2 * batch.n_targets) * sizeof(Index);
  const ops::AttentionShape shape{
      .n_heads = config.n_heads, .n_kv_heads = config.n_kv_heads, .head_dim = config.head_dim};
  return sizeof(float) * static_cast<std::size_t>(floats) + lists +
         static_cast<std::size_t>(n_threads) * ops::linear_scratch_bytes() +
         ops::CrossEntropy::workspace_bytes(batch.n_targets, adapter_rank) +
         ops::Attention::workspace_bytes(shape, batch.n_tokens, batch.n_segments, batch.longest,
                                         n_threads);
}

std::size_t gradient_bytes(const ModelConfig& config, const BatchSize& batch, Index adapter_rank,
                           Index n_threads) {
  const Index hidden = config.hidden_size;
  const Index heads = config.head_norm == HeadNorm::none ? 0 : config.q_size() + config.kv_size();
  const Index outputs = config.adds_plainly() ? 0 : 2 * hidden;
  const Index record = 2 * hidden + heads + outputs + config.intermediate_size;
  const Index derivatives = 3 * hidden + 2 * config.q_size() + 2 * config.kv_size() + heads +
                            outputs + config.intermediate_size + 2 * adapter_rank;
  const Index per_token = config.n_layers * hidden + record + derivatives;
  const Index floats = batch.n_tokens * per_token + 4 * batch.n_targets * hidden;
  return sizeof(float) * static_cast<std::size_t>(floats) +
         activation_bytes(config, batch, adapter_rank, n_threads) +
         ops::Backward::workspace_bytes(batch.n_tokens, adapter_rank, n_threads) +
         ops::AttentionBackward::workspace_bytes(batch.longest, n_threads) +
         ops::SoftCrossEntropy::workspace_bytes(batch.n_targets, adapter_rank, n_threads);
}

BatchSize size_of(const TokenForest& forest, Index n_targets) {
  BatchSize size{.n_tokens = std::ssize(forest.ids),
                 .n_segments = std::ssize(forest.segments),
                 .n_targets = n_targets};
  for (const Segment& segment : forest.segments) {
    size.longest = std::max(size.longest, segment.first_position + segment.length());
  }
  return size;
}

double parameters_per_token(const ModelConfig& config) {
  const Index attention = config.hidden_size * (2 * config.q_size() + 2 * config.kv_size());
  const Index mlp = 3 * config.hidden_size * config.intermediate_size;
  return static_cast<double>(config.n_layers) * static_cast<double>(attention + mlp);
}

double parameters_per_target(const ModelConfig& config) {
  return static_cast<double>(config.vocab_size) * static_cast<double>(config.hidden_size);
}

double flops(const ModelConfig& config, const BatchSize& batch) {
  const auto tokens = static_cast<double>(batch.n_tokens);
  // Scores and weighted values: 2 q_size operations each for every pair of tokens.
  const double attention = static_cast<double>(config.n_layers) * 4.0 *
                           static_cast<double>(config.q_size()) * tokens *
                           static_cast<double>(batch.longest) / 2.0;
  return 2.0 * (parameters_per_token(config) * tokens +
                parameters_per_target(config) * static_cast<double>(batch.n_targets)) +
         attention;
}

Work work(const ModelConfig& config, const TokenForest& forest, std::span<const Target> targets,
          double adapter_parameters) {
  std::vector<bool> is_target(forest.ids.size());
  for (const Target& target : targets) is_target[static_cast<std::size_t>(target.row)] = true;
  double seen = 0.0;  // tokens that tokens look at, in one layer
  double seen_by_targets = 0.0;
  for (const Segment& segment : forest.segments) {
    for (Index row = segment.begin; row < segment.end; ++row) {
      const auto position = static_cast<double>(segment.first_position + row - segment.begin + 1);
      seen += position;
      if (is_target[static_cast<std::size_t>(row)]) seen_by_targets += position;
    }
  }
  const auto layers = static_cast<double>(config.n_layers);
  const auto tokens = static_cast<double>(forest.ids.size());
  const auto rows = static_cast<double>(std::ranges::count(is_target, true));
  const double logits = 2.0 * parameters_per_target(config) * static_cast<double>(targets.size());
  const double per_pair = 4.0 * static_cast<double>(config.q_size());
  const double per_token = 2.0 * (parameters_per_token(config) + adapter_parameters) / layers;
  // In the last layer only targets need more than keys and values.
  const double keys_and_values = 4.0 * static_cast<double>(config.hidden_size * config.kv_size());
  return {layers * (per_token * tokens + per_pair * seen) + logits,
          (layers - 1.0) * (per_token * tokens + per_pair * seen) + per_token * rows +
              keys_and_values * (tokens - rows) + per_pair * seen_by_targets + logits};
}

}  // namespace d2c::model
