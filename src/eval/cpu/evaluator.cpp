#include "d2c/eval/evaluator.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/model/decoder.hpp"

namespace d2c::eval {

struct Evaluator::State {
  explicit State(const model::Model& m) : model(m), decoder(m) {}

  const model::Model& model;
  model::Decoder decoder;
  std::shared_ptr<const model::PreparedAdapter> adapter;
};

Evaluator::Evaluator(const model::Model& model) : state_(std::make_unique<State>(model)) {}
Evaluator::~Evaluator() = default;

void Evaluator::use(const lora::FactorMap* adapter) {
  state_->adapter.reset();
  if (adapter == nullptr) return;
  state_->adapter =
      std::make_shared<const model::PreparedAdapter>(state_->model.config(), *adapter);
}

void Evaluator::use(std::shared_ptr<const model::PreparedAdapter> adapter) {
  state_->adapter = std::move(adapter);
}

std::vector<std::vector<double>> Evaluator::token_losses(std::span<const Batch> batches,
                                                         Index n_examples) {
  std::vector<std::vector<double>> losses(static_cast<std::size_t>(n_examples));
  for (const Batch& batch : batches) {
    const std::vector<double> nll =
        state_->decoder.nll(batch.forest, batch.targets, state_->adapter.get());
    for (std::size_t e = 0; e < batch.examples.size(); ++e) {
      D2C_EXPECTS(batch.examples[e] < n_examples);
      losses[static_cast<std::size_t>(batch.examples[e])].assign(
          nll.begin() + batch.target_begin[e], nll.begin() + batch.target_begin[e + 1]);
    }
  }
  return losses;
}

void Evaluator::advance(const Step& step, StepProgress& progress, Index n_examples) {
  D2C_EXPECTS(progress.kept.n == step.n_kept);
  progress.token_losses.resize(static_cast<std::size_t>(n_examples));
  const std::vector<double> nll = state_->decoder.nll(
      step.forest, step.targets, state_->adapter.get(), progress.kept, step.n_to_keep);
  for (std::size_t i = 0; i < nll.size(); ++i) {
    auto& losses = progress.token_losses[static_cast<std::size_t>(step.places[i].example)];
    const auto scored = static_cast<std::size_t>(step.places[i].scored);
    losses.resize(std::max(losses.size(), scored + 1));
    losses[scored] = nll[i];
  }
}

double mean_token_loss(std::span<const double> token_losses) {
  D2C_EXPECTS(!token_losses.empty());
  return std::accumulate(token_losses.begin(), token_losses.end(), 0.0) /
         static_cast<double>(token_losses.size());
}

std::size_t Evaluator::workspace_bytes() const { return state_->decoder.workspace_bytes(); }

void Evaluator::record_phases(model::PhaseSeconds* seconds) {
  state_->decoder.record_phases(seconds);
}

std::vector<double> Evaluator::example_losses(std::span<const Batch> batches, Index n_examples) {
  std::vector<double> means;
  for (const auto& nll : token_losses(batches, n_examples)) means.push_back(mean_token_loss(nll));
  return means;
}

}  // namespace d2c::eval
