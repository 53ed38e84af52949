#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/lora/factors.hpp"
#include "d2c/lora/input_moment.hpp"
#include "d2c/model/cost.hpp"
#include "d2c/model/generation_limits.hpp"
#include "d2c/ops/soft_cross_entropy.hpp"

namespace d2c::eval {

/// An adapter in the form that one engine reads, in that engine's memory.
class EngineAdapter {
 public:
  EngineAdapter() = default;
  EngineAdapter(const EngineAdapter&) = delete;
  EngineAdapter& operator=(const EngineAdapter&) = delete;
  virtual ~EngineAdapter() = default;
};
using AdapterHandle = std::shared_ptr<const EngineAdapter>;  ///< null = the base model alone

/// Examples to be evaluated under an adapter.
struct Unit {
  Index id = 0;  ///< what its source knows it by
  AdapterHandle adapter = nullptr;
  std::span<const Batch> batches{};
  /// Keeps the batches where they are; null = somebody else does.
  std::shared_ptr<const void> owner = nullptr;
};

/// What became of a unit.
struct UnitResult {
  std::vector<double> nll{};  ///< [targets of all batches] negative log likelihood, nats
  double seconds = 0.0;  ///< what the unit cost, as the engine sees it; comparable among its units
};

/// Where an engine gets units from, and to whom it reports. What a source hands out may depend on
/// what was reported.
class UnitSource {
 public:
  UnitSource() = default;
  UnitSource(const UnitSource&) = delete;
  UnitSource& operator=(const UnitSource&) = delete;
  virtual ~UnitSource() = default;

  /// The next unit, if at least `least` are at hand. Any thread.
  [[nodiscard]] virtual std::optional<Unit> take(Index least) = 0;
  /// The next unit, at hand or from elsewhere; nothing = there are no more. Called by the thread
  /// that called LossEngine::losses, while no other takes and every unit that was taken is
  /// reported.
  [[nodiscard]] virtual std::optional<Unit> fetch() { return take(1); }
  /// Takes what became of a unit. Any thread; once for each unit.
  virtual void report(const Unit& unit, UnitResult result) = 0;
};

/// A batch, and what an adapter is to predict there.
struct Lesson {
  Batch batch{};
  ops::SoftTargets targets{};   ///< of each of the batch's targets, whose labels do not count
  std::vector<float> weight{};  ///< [targets] in the loss
};

/// Lessons whose loss is to be differentiated.
struct GradientUnit {
  AdapterHandle adapter;  ///< not null
  std::span<const Lesson> lessons{};
};

struct GradientResult {
  double loss = 0.0;         ///< weighted sum of the cross-entropies of all targets, nats
  lora::FactorMap gradient;  ///< with respect to A and B of each module of the adapter
};

/// Takes what became of the unit with this index. Any thread; once for each unit.
using GradientReport = std::function<void(Index unit, GradientResult result)>;

/// Measures teacher-forced losses of one base model under adapters, and lets it write: the seam
/// behind which the hardware is used. Callers see handles, and none of its memory.
///
/// The bits of a loss, and the tokens of a text, depend on the model, the adapter and the example
/// alone: not on the unit that the example came in, on the units beside it or on the number of
/// threads.
class LossEngine {
 public:
  LossEngine() = default;
  LossEngine(const LossEngine&) = delete;
  LossEngine& operator=(const LossEngine&) = delete;
  virtual ~LossEngine() = default;

  /// What it computes on, for people: one line.
  [[nodiscard]] virtual std::string description() const = 0;

  /// Makes an adapter ready. The factors are not needed afterwards. Any thread.
  /// @throws InputError if it does not fit the model
  [[nodiscard]] virtual AdapterHandle prepare(const lora::FactorMap& factors) = 0;

  /// Evaluates all units of a source: as many at a time as suit the hardware, under as many
  /// adapters as they come with.
  /// @throws what the source throws
  virtual void losses(UnitSource& units) = 0;

  /// Adds what the modules of the model read in examples under an adapter, at every token but the
  /// last of each example; one that several examples share counts as often. Not beside losses().
  /// @param sums     [model::input_sites] null = not wanted
  virtual void add_inputs(const AdapterHandle& adapter, std::span<const Batch> batches,
                          std::span<const std::unique_ptr<lora::InputMomentSum>> sums) = 0;
  /// What the targets of each unit's batches are predicted to be: the most probable tokens.
  /// [units][batches]
  /// @param most   tokens of a distribution at most
  [[nodiscard]] virtual std::vector<std::vector<ops::SoftTargets>> most_probable(
      std::span<const Unit> units, Index most) = 0;
  /// Continues the sequence of each target greedily; what a target predicts does not count.
  /// [units][targets of all batches] tokens
  /// @pre targets are the last tokens of their segments, see pack_prompts
  [[nodiscard]] virtual std::vector<std::vector<std::vector<std::int32_t>>> generate(
      std::span<const Unit> units, const model::GenerationLimits& limits) = 0;
  /// Differentiates the losses of all units with respect to the factors of their adapters. As many
  /// gradients are held at a time as suit the hardware. The bits of one depend on the model, the
  /// adapter and the unit's lessons alone.
  /// @throws what `report` throws
  virtual void gradients(std::span<const GradientUnit> units, const GradientReport& report) = 0;

  /// Upper bound on the memory that evaluations take, in bytes, besides adapters.
  /// @param largest       batch
  /// @param adapter_rank  largest sum of the ranks of modules that read the same input (q, k, v)
  [[nodiscard]] virtual std::size_t activation_bytes(const model::BatchSize& largest,
                                                     Index adapter_rank) const = 0;
  /// The same of what gradients take on top, besides the gradients themselves.
  [[nodiscard]] virtual std::size_t gradient_bytes(const model::BatchSize& largest,
                                                   Index adapter_rank) const = 0;
};

/// A unit of each batch, so that threads share them.
[[nodiscard]] std::vector<Unit> units_of(const AdapterHandle& adapter,
                                         std::span<const Batch> batches);
/// What the engine writes behind the prompt of each example, see pack_prompts. [examples] tokens
[[nodiscard]] std::vector<std::vector<std::int32_t>> answers_of(
    LossEngine& engine, const AdapterHandle& adapter, std::span<const Batch> prompts,
    const model::GenerationLimits& limits);
/// Evaluates the units of a list. Their ids are ignored. @return in the order of `units`
[[nodiscard]] std::vector<UnitResult> losses_of(LossEngine& engine, std::vector<Unit> units);
/// The same for one.
[[nodiscard]] UnitResult losses_of(LossEngine& engine, Unit unit);

}  // namespace d2c::eval
