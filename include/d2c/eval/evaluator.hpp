#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/eval/steps.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/model/model.hpp"
#include "d2c/model/phases.hpp"
#include "d2c/model/prepared_adapter.hpp"

namespace d2c::eval {

/// Mean over an example's scored tokens, nats per token. @pre not empty
[[nodiscard]] double mean_token_loss(std::span<const double> token_losses);

/// Measures teacher-forced losses of a base model with one adapter at a time.
///
/// The one seam behind which the hardware is used: what calls it knows batches and adapters, not
/// how they are computed.
class Evaluator {
 public:
  /// @param model  outlives this object
  explicit Evaluator(const model::Model& model);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  /// Chooses the adapter of the following evaluations. Its factors are copied into the form that
  /// the forward pass reads; null = the base model alone.
  /// @throws InputError if the adapter does not fit the model
  void use(const lora::FactorMap* adapter);
  /// The same with an adapter in that form, which evaluators may share; null = the base model.
  void use(std::shared_ptr<const model::PreparedAdapter> adapter);
  void use(std::nullptr_t) { use(std::shared_ptr<const model::PreparedAdapter>()); }

  /// Mean negative log likelihood of each example's scored tokens, nats per token. [n_examples]
  /// @param batches  of pack(); together they hold examples 0 .. n_examples - 1
  [[nodiscard]] std::vector<double> example_losses(std::span<const Batch> batches,
                                                   Index n_examples);
  /// Negative log likelihood of every scored token. [n_examples][scored tokens] nats
  [[nodiscard]] std::vector<std::vector<double>> token_losses(std::span<const Batch> batches,
                                                              Index n_examples);

  /// Evaluates the next step of a list, with the adapter of the steps before.
  /// @param progress  empty before the first step
  void advance(const Step& step, StepProgress& progress, Index n_examples);

  /// Bytes of activations kept; see Decoder::workspace_bytes.
  [[nodiscard]] std::size_t workspace_bytes() const;

  /// Adds what the following evaluations spend their time with to `seconds`; null = no longer.
  void record_phases(model::PhaseSeconds* seconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace d2c::eval
