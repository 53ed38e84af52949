#include "d2c/model/decoder.hpp"

#include <algorithm>

#include "d2c/ops/cross_entropy.hpp"
#include "d2c/ops/most_probable.hpp"
#include "d2c/ops/norm.hpp"

#include "forward/placement.hpp"
#include "forward/stack.hpp"

namespace d2c::model {

class Decoder::Workspace {
 public:
  explicit Workspace(const Model& model)
      : config_(model.config()), weights_(model.weights()), rotary_(config_) {}

  void record_phases(PhaseSeconds* seconds) { phases_ = seconds; }

  [[nodiscard]] std::size_t held_bytes() const {
    return activations_.held_bytes() + rotary_.held_bytes() + cross_entropy_.held_bytes() +
           most_probable_.held_bytes() + placement_.held_bytes() + ops::held_bytes(rows_) +
           ops::held_bytes(labels_);
  }

  std::vector<double> nll(ops::ThreadTeam& threads, const TokenForest& forest,
                          std::span<const Target> targets, const PreparedAdapter* adapter) {
    check_forest(config_, forest, targets);
    rows_.clear();
    labels_.clear();
    for (const Target& target : targets) {
      rows_.push_back(target.row);
      labels_.push_back(target.label);
    }
    std::vector<double> result(targets.size());
    predict(threads, forest, adapter, [&](ops::ConstRows h) {
      cross_entropy_(threads, h, weights_.head, head_update(adapter), labels_, result,
                     config_.logit_cap);
    });
    return result;
  }

  ops::SoftTargets most_probable(ops::ThreadTeam& threads, const TokenForest& forest,
                                 std::span<const Index> rows, const PreparedAdapter* adapter,
                                 Index most) {
    check_forest(config_, forest);
    rows_.assign(rows.begin(), rows.end());
    ops::SoftTargets result;
    predict(threads, forest, adapter, [&](ops::ConstRows h) {
      result =
          most_probable_(threads, h, weights_.head, head_update(adapter), most, config_.logit_cap);
    });
    return result;
  }

  void show_inputs(ops::ThreadTeam& threads, const TokenForest& forest,
                   const PreparedAdapter* adapter, const ShowInputs& show) {
    check_forest(config_, forest);
    if (forest.ids.empty()) return;
    Pass pass = start(threads, forest, {});
    pass.inputs = &show;
    (void)stack_forward(pass, weights_, adapter, placement_.all_rows, placement_.all_rows,
                        activations_);
  }

 private:
  /// @param rows  that are looked at
  Pass start(ops::ThreadTeam& threads, const TokenForest& forest, std::span<const Index> rows) {
    placement_.place(forest, rows);
    rotary_.extend_to(*std::ranges::max_element(placement_.positions) + 1, forest.is_long);
    return {.config = config_,
            .threads = threads,
            .rotary = rotary_,
            .ids = forest.ids,
            .positions = placement_.positions,
            .segments = forest.segments,
            .phases = phases_};
  }

  /// Calls use(h) with the input [rows_, hidden] of the last layer's product.
  template <class Use>
  void predict(ops::ThreadTeam& threads, const TokenForest& forest, const PreparedAdapter* adapter,
               Use use) {
    if (rows_.empty()) return;
    const Pass pass = start(threads, forest, rows_);
    const ops::Rows h = stack_forward(pass, weights_, adapter, placement_.all_rows,
                                      placement_.target_rows, activations_);
    const ops::Rows predicted = activations_.attended.shape(std::ssize(rows_), h.width);
    for (Index i = 0; i < predicted.n; ++i) {
      std::copy_n(h.row(placement_.target_row(rows_[static_cast<std::size_t>(i)])), h.width,
                  predicted.row(i));
    }
    if (config_.logit_scale != 1.0F) ops::scale(threads, config_.logit_scale, predicted);
    const Timed time(pass, Phase::cross_entropy);
    use(predicted);
  }

  const ModelConfig& config_;
  const Weights& weights_;
  PhaseSeconds* phases_ = nullptr;
  RotaryTables rotary_;
  Activations activations_;
  ops::CrossEntropy cross_entropy_;
  ops::MostProbable most_probable_;

  Placement placement_;
  std::vector<Index> rows_;           ///< [targets] of the forest
  std::vector<std::int32_t> labels_;  ///< [targets]
};

Decoder::Decoder(const Model& model) : workspace_(std::make_unique<Workspace>(model)) {}
Decoder::~Decoder() = default;

void Decoder::record_phases(PhaseSeconds* seconds) { workspace_->record_phases(seconds); }

std::size_t Decoder::workspace_bytes() const { return workspace_->held_bytes(); }

std::vector<double> Decoder::nll(ops::ThreadTeam& threads, const TokenForest& forest,
                                 std::span<const Target> targets, const PreparedAdapter* adapter) {
  return workspace_->nll(threads, forest, targets, adapter);
}

ops::SoftTargets Decoder::most_probable(ops::ThreadTeam& threads, const TokenForest& forest,
                                        std::span<const Index> rows, Index most,
                                        const PreparedAdapter* adapter) {
  return workspace_->most_probable(threads, forest, rows, adapter, most);
}

void Decoder::show_inputs(ops::ThreadTeam& threads, const TokenForest& forest,
                          const PreparedAdapter* adapter, const ShowInputs& show) {
  workspace_->show_inputs(threads, forest, adapter, show);
}

}  // namespace d2c::model
