#include "d2c/model/gradient.hpp"

#include <algorithm>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/ops/norm.hpp"

#include "backward/layer_backward.hpp"
#include "forward/layer.hpp"
#include "forward/placement.hpp"
#include "forward/update_places.hpp"

namespace d2c::model {

AdapterGradient::AdapterGradient(const PreparedAdapter& adapter)
    : embedding(adapter.embedding.zero_gradient()), head(adapter.head.zero_gradient()) {
  for (const PreparedAdapter::Layer& layer : adapter.layers) {
    layers.push_back({layer.qkv.zero_gradient(), layer.o.zero_gradient(),
                      layer.gate_up.zero_gradient(), layer.down.zero_gradient()});
  }
}

lora::FactorMap AdapterGradient::by_module(const ModelConfig& config,
                                           const PreparedAdapter& adapter) const {
  lora::FactorMap result;
  for_each_update(config, [&](UpdatePlace place, Index layer, const Members& members, Index d_in) {
    const ops::UpdateGradient& joint = update_at(*this, place, layer);
    Index first_rank = 0;
    std::size_t part = 0;
    for (const Member& member : members) {
      const auto found = adapter.ranks.find(member.module);
      if (found == adapter.ranks.end()) continue;
      const Index rank = found->second;
      lora::Factors& d = result[member.module];
      d = {Matrix(rank, d_in), Matrix(member.d_out, rank)};
      const Matrix& b = joint.b.at(part++);
      for (Index r = 0; r < rank; ++r) {
        std::ranges::copy(joint.a.row(first_rank + r), d.a.row(r).begin());
        for (Index o = 0; o < member.d_out; ++o) d.b(o, r) = b(r, o);
      }
      first_rank += rank;
    }
  });
  return result;
}

class GradientPass::Workspace {
 public:
  explicit Workspace(const Model& model)
      : config_(model.config()),
        weights_(model.weights()),
        rotary_(config_),
        inputs_(static_cast<std::size_t>(config_.n_layers)) {}

  std::vector<double> run(ops::ThreadTeam& threads, const TokenForest& forest,
                          std::span<const Index> rows, const ops::SoftTargets& targets,
                          std::span<const float> weight, const PreparedAdapter& adapter,
                          AdapterGradient& sum) {
    check_forest(config_, forest);
    for (const std::int32_t token : targets.tokens) check_token(token, config_.vocab_size);
    if (rows.empty()) return {};
    placement_.place(forest, rows);
    rotary_.extend_to(*std::ranges::max_element(placement_.positions) + 1, forest.is_long);
    const Pass pass{config_, threads, rotary_, forest.ids, placement_.positions, forest.segments};
    const ops::Rows x = forward(pass, adapter);
    std::vector<double> losses(rows.size());
    const ops::Rows dx = derivative_.shape(std::ssize(forest.ids), config_.hidden_size);
    score(pass, rows, targets, weight, adapter, x, losses, dx.rows(0, x.n), sum);
    backward(pass, adapter, dx, sum);
    return losses;
  }

  [[nodiscard]] std::size_t held_bytes() const {
    std::size_t bytes = activations_.held_bytes() + backward_.held_bytes() + record_.held_bytes() +
                        rotary_.held_bytes() + placement_.held_bytes() +
                        cross_entropy_.held_bytes();
    for (const Buffer& input : inputs_) bytes += input.held_bytes();
    for (const Buffer* buffer :
         {&derivative_, &normalised_, &predicted_, &dnormalised_, &dpredicted_}) {
      bytes += buffer->held_bytes();
    }
    return bytes;
  }

 private:
  [[nodiscard]] Layer layer(const PreparedAdapter& adapter, Index index) {
    const auto i = static_cast<std::size_t>(index);
    return {weights_.layers[i], adapter.layers[i], config_.kinds[i], i, &record_};
  }
  [[nodiscard]] std::span<const Index> wanted(Index index) const {
    // From the last layer only the rows of targets are wanted.
    return index + 1 == config_.n_layers ? placement_.target_rows : placement_.all_rows;
  }

  /// Keeps the input of each layer. @return [target rows, hidden] output of the last one, whose
  /// activations are at hand
  ops::Rows forward(const Pass& pass, const PreparedAdapter& adapter) {
    ops::Rows x =
        activations_.residual.shape(std::ssize(placement_.positions), config_.hidden_size);
    embed(pass, weights_, &adapter, activations_, x);
    for (Index index = 0; index < config_.n_layers; ++index) {
      inputs_[static_cast<std::size_t>(index)].copy(x);
      x = layer_forward(pass, layer(adapter, index), x, wanted(index), activations_);
    }
    return x;
  }

  /// @param dx  [target rows, hidden] becomes the derivative with respect to x
  void score(const Pass& pass, std::span<const Index> rows, const ops::SoftTargets& targets,
             std::span<const float> weight, const PreparedAdapter& adapter, ops::ConstRows x,
             std::span<double> losses, ops::Rows dx, AdapterGradient& sum) {
    const ops::Rows h = normalised_.shape(x.n, x.width);
    normalise(pass, weights_.final_norm, x, h);
    const auto n = std::ssize(rows);
    const ops::Rows predicted = predicted_.shape(n, x.width);
    const ops::Rows dpredicted = dpredicted_.shape(n, x.width);
    for (Index i = 0; i < n; ++i) {
      const Index row = placement_.target_row(rows[static_cast<std::size_t>(i)]);
      std::copy_n(h.row(row), h.width, predicted.row(i));
    }
    const bool scales = config_.logit_scale != 1.0F;
    if (scales) ops::scale(pass.threads, config_.logit_scale, predicted);
    cross_entropy_(pass.threads, predicted, weights_.head, adapter.head, targets, weight, losses,
                   dpredicted, sum.head, config_.logit_cap);
    if (scales) ops::scale(pass.threads, config_.logit_scale, dpredicted);
    const ops::Rows dh = dnormalised_.shape(x.n, x.width);
    ops::clear(dh);
    ops::clear(dx);
    for (Index i = 0; i < n; ++i) {
      float* to = dh.row(placement_.target_row(rows[static_cast<std::size_t>(i)]));
      for (Index j = 0; j < dh.width; ++j) to[j] += dpredicted.row(i)[j];
    }
    add_norm_backward(pass, weights_.final_norm, x, dh, dx);
  }

  void backward(const Pass& pass, const PreparedAdapter& adapter, ops::Rows dx,
                AdapterGradient& sum) {
    for (Index index = config_.n_layers - 1; index >= 0; --index) {
      const Layer at = layer(adapter, index);
      const auto i = static_cast<std::size_t>(index);
      const ops::Rows input = inputs_[i].shape(dx.n, dx.width);
      if (index + 1 < config_.n_layers) {
        (void)layer_forward(pass, at, activations_.residual.copy(input), wanted(index),
                            activations_);
      }
      layer_backward(pass, at, input, wanted(index), activations_, backward_, sum.layers[i], dx);
    }
    if (adapter.embedding.empty()) return;
    if (!weights_.embedding_scale.empty()) {
      ops::scale(pass.threads, weights_.embedding_scale.front(), dx);
    }
    const ops::Rows both = backward_.projected.shape(2 * dx.n, adapter.embedding.rank());
    const ops::Rows u = both.rows(0, dx.n);
    const ops::Rows du = both.rows(dx.n, dx.n);
    adapter.embedding.project_one_hot(pass.ids, u);
    adapter.embedding.expand_backward(pass.threads, backward_.products, u, dx, du, sum.embedding);
    adapter.embedding.add_one_hot_gradient(pass.ids, du, sum.embedding);
  }

  const ModelConfig& config_;
  const Weights& weights_;
  RotaryTables rotary_;
  Placement placement_;
  Activations activations_;
  LayerRecord record_;
  BackwardActivations backward_;
  ops::SoftCrossEntropy cross_entropy_;
  std::vector<Buffer> inputs_;  ///< per layer [tokens, hidden]
  Buffer derivative_;           ///< [tokens, hidden] of the residual stream
  Buffer normalised_;           ///< [target rows, hidden] output of the final norm
  Buffer predicted_;            ///< [targets, hidden]
  Buffer dnormalised_;          ///< as normalised_
  Buffer dpredicted_;           ///< as predicted_
};

GradientPass::GradientPass(const Model& model) : workspace_(std::make_unique<Workspace>(model)) {}
GradientPass::~GradientPass() = default;

std::size_t GradientPass::workspace_bytes() const { return workspace_->held_bytes(); }

std::vector<double> GradientPass::operator()(ops::ThreadTeam& threads, const TokenForest& forest,
                                             std::span<const Index> rows,
                                             const ops::SoftTargets& targets,
                                             std::span<const float> weight,
                                             const PreparedAdapter& adapter, AdapterGradient& sum) {
  D2C_EXPECTS(targets.size() == std::ssize(rows) && weight.size() == rows.size());
  return workspace_->run(threads, forest, rows, targets, weight, adapter, sum);
}

}  // namespace d2c::model
