#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/eval/engine_choice.hpp"
#include "d2c/model/weights.hpp"

namespace d2c::tools {

/// Losses of one model or adapter on one file of examples.
struct Evaluation {
  eval::TokenLosses nll;             ///< [example][scored token] nats
  std::vector<double> example_mean;  ///< [example] nats per token
  double mean = 0.0;                 ///< over examples
  std::vector<std::string> warnings;
  int modules_applied = 0;
  int modules = 0;
};

/// @param adapter    PEFT folder, or LIBRARY::NAME; empty = the base model alone
/// @param weights    see model::WeightChoice
/// @param chat_date  see text::ChatTemplate
/// @throws InputError for bad input, UsageError for a precision that is not one for it
[[nodiscard]] Evaluation evaluate(const std::filesystem::path& model,
                                  const std::filesystem::path& adapter,
                                  const std::filesystem::path& examples, eval::LossOn loss_on,
                                  Index batch_tokens, model::WeightChoice weights,
                                  const eval::EngineChoice& choice,
                                  const std::string& chat_date = {});

/// `{"examples": [{"mean": x, "nll": [...]}], "mean": y}`; nll only with per_token.
[[nodiscard]] std::string to_json(const Evaluation& evaluation, bool per_token);

}  // namespace d2c::tools
