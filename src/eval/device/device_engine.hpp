#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "d2c/core/timer.hpp"
#include "d2c/eval/loss_engine.hpp"
#include "d2c/model/model.hpp"

#include "device/adapter.hpp"
#include "device/forward_pass.hpp"
#include "device/weights.hpp"

namespace d2c::eval::device {

/// The engine of a device: losses are computed there, many units in one pass; all else by the
/// engine of the CPU.
///
/// While the device is busy with a pass, the next one is taken from the source and put together.
class DeviceEngine final : public LossEngine {
 public:
  struct Settings {
    std::string name;  ///< of the device, for people
    bool is_bf16 = false;
    Index pass_rows = 32768;  ///< tokens of a pass, if there is room for so many
  };

  /// @param model    outlives this object
  /// @param threads  of the CPU
  /// @throws UsageError if the kernels do not compute this model
  /// @throws Error if its weights do not fit
  DeviceEngine(const model::Model& model, int threads, std::unique_ptr<Backend> backend,
               const Settings& settings);

  [[nodiscard]] std::string description() const override;
  [[nodiscard]] AdapterHandle prepare(const lora::FactorMap& factors) override;
  void losses(UnitSource& units) override;
  void add_inputs(const AdapterHandle& adapter, std::span<const Batch> batches,
                  std::span<const std::unique_ptr<lora::InputMomentSum>> sums) override;
  [[nodiscard]] std::vector<std::vector<ops::SoftTargets>> most_probable(
      std::span<const Unit> units, Index most) override;
  [[nodiscard]] std::vector<std::vector<std::vector<std::int32_t>>> generate(
      std::span<const Unit> units, const model::GenerationLimits& limits) override;
  void gradients(std::span<const GradientUnit> units, const GradientReport& report) override;
  [[nodiscard]] std::size_t activation_bytes(const model::BatchSize& largest,
                                             Index adapter_rank) const override;
  [[nodiscard]] std::size_t gradient_bytes(const model::BatchSize& largest,
                                           Index adapter_rank) const override;

 private:
  /// A unit that was taken and is not reported yet.
  struct Taken {
    Unit unit;
    UnitResult result;
    std::size_t missing;  ///< batches
  };
  /// A batch that waits for its pass, or is in one.
  struct Item {
    std::shared_ptr<Taken> taken;
    const Batch* batch;
    std::size_t first_target;  ///< in the unit's result
  };
  using Items = std::vector<Item>;

  void add(Unit unit, UnitSource& source);
  /// What waits becomes a pass, as much as there is room for.
  [[nodiscard]] Items next_pass();
  [[nodiscard]] PassTables tables_of(const Items& items) const;
  /// Waits for the pass that the device has, if it has one, and reports units that are complete.
  void land(UnitSource& source);
  [[nodiscard]] std::vector<Unit> on_cpu(std::span<const Unit> units) const;

  const model::Model& model_;
  std::unique_ptr<LossEngine> cpu_;
  std::unique_ptr<Backend> backend_;
  Settings settings_;
  Sites sites_;
  Weights weights_;
  ForwardPass pass_;
  std::deque<Item> waiting_;
  Index waiting_rows_ = 0;
  Items flying_;
  std::optional<Stopwatch> since_;  ///< the device began with the pass that it has
};

}  // namespace d2c::eval::device
