#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/eval/examples.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/model/cost.hpp"
#include "d2c/model/model.hpp"
#include "d2c/model/phases.hpp"

/// How fast this machine evaluates: for benchmarks and for the user who asks.
namespace d2c::eval {

/// Sizes of a decoder of the Llama family.
struct LlamaShape {
  Index layers = 0;
  Index hidden = 0;
  Index intermediate = 0;
  Index heads = 0;
  Index kv_heads = 0;
  Index vocabulary = 0;
};
[[nodiscard]] model::ModelConfig llama_config(const LlamaShape& shape);

/// Random factors for the seven linear layers of each decoder layer.
[[nodiscard]] lora::FactorMap random_adapter(const model::ModelConfig& config, Index rank);
/// Parameters of an adapter: sum of rank * (d_in + d_out).
[[nodiscard]] double parameters(const lora::FactorMap& adapter);

/// Random tokens: examples that start with the same instruction.
struct ExampleShape {
  Index n_examples = 10;
  Index length = 100;
  Index shared = 40;
  Index response = 30;
};
[[nodiscard]] std::vector<Example> random_examples(const ExampleShape& shape, Index vocabulary);

/// Examples of one task under one adapter.
struct Workload {
  const lora::FactorMap* adapter = nullptr;  ///< null = the base model
  std::span<const Batch> batches;
};

/// Speed of a list of evaluations, the switching of adapters included.
struct Speed {
  TokenCounts tokens;
  model::Work work;                 ///< floating-point operations of all evaluations
  double seconds = 0.0;             ///< median of the repetitions
  double best_seconds = 0.0;        ///< the shortest repetition: least disturbed by other programs
  double peak = 0.0;                ///< FLOP/s of multiply-adds, median
  double bf16_peak = 0.0;           ///< likewise of BF16 pairs, where the model computes so; else 0
  double useful_share = 0.0;        ///< of the peak measured beside it, median
  double done_share = 0.0;          ///< likewise, of the operations that are carried out
  model::PhaseSeconds phases{};     ///< means per repetition
  std::size_t stated_bytes = 0;     ///< LossEngine::activation_bytes of the largest batch
  std::size_t workspace_bytes = 0;  ///< what the engine held in the end, with thread scratch
};

/// Repeats the evaluations, each time beside a measurement of the peak, for about `seconds`.
///
/// With one thread all times are processor time, so that other users of the machine hardly count;
/// with more they are taken from a clock on the wall, and the peak is that of all threads.
[[nodiscard]] Speed measure_speed(const model::Model& model, std::span<const Workload> work,
                                  const TokenCounts& tokens, int n_threads, double seconds);

/// Where several threads lose time, in seconds of processor time per repetition: other users of the
/// machine hardly count. What it does not hold is the time to meet at the end of a loop.
struct ThreadSpeed {
  int n_threads = 1;
  double one_thread = 0.0;  ///< a repetition with one thread
  double serial = 0.0;  ///< of the calling thread, outside of shared loops or while it wakes others
  double shared = 0.0;  ///< of all threads in the iterations of shared loops
  double longest = 0.0;   ///< of the thread with most to do in each of them, if all are free
  double loops = 0.0;     ///< number of shared loops
  double speed_up = 0.0;  ///< on the clock, median of neighbours: right while processors are free
  [[nodiscard]] double balance() const { return shared / (longest * n_threads); }
  /// Of the speed-up over one thread.
  [[nodiscard]] double bound() const { return one_thread / (serial + longest); }
};

/// Repeats the evaluations with one thread and with n_threads in turns, for about `seconds`.
/// @pre n_threads > 1
[[nodiscard]] ThreadSpeed measure_threads(const model::Model& model, std::span<const Workload> work,
                                          int n_threads, double seconds);
/// One line.
[[nodiscard]] std::string to_text(const ThreadSpeed& speed);

/// A table of the phases and the figures above, several lines.
[[nodiscard]] std::string to_text(const Speed& speed);

/// Speed of y = x W^T.
struct ProductSpeed {
  double rate = 0.0;        ///< FLOP/s, median
  double share = 0.0;       ///< of the peak measured beside it, median
  double bf16_share = 0.0;  ///< of the BF16 peak, for BF16 arithmetic; else 0
};
[[nodiscard]] ProductSpeed measure_product(const ops::PackedMatrix& w, Index n_tokens,
                                           int n_threads, double seconds);

[[nodiscard]] double median(std::vector<double> values);

}  // namespace d2c::eval
