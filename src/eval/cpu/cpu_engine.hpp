#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "d2c/eval/loss_engine.hpp"
#include "d2c/model/decoder.hpp"
#include "d2c/model/gradient.hpp"
#include "d2c/model/model.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::eval {

/// The engine of the CPU: a decoder for each thread.
///
/// Where a source has a unit for every thread, units are evaluated side by side, each by one
/// thread: nothing is waited for but the end, and what a thread writes stays in its caches. Fewer
/// units are evaluated one by one by all threads.
class CpuEngine final : public LossEngine {
 public:
  /// @param model  outlives this object
  CpuEngine(const model::Model& model, int threads);

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

  /// Bytes of activations kept by all decoders.
  [[nodiscard]] std::size_t workspace_bytes() const;
  /// Records what evaluations spend their time with, from now on.
  void record_phases();
  /// Processor time of all threads since then.
  [[nodiscard]] model::PhaseSeconds phases() const;
  /// Adds the times of loops that threads share to `times`; null = no longer.
  void record_loops(ops::LoopTimes* times) { team_.record(times); }

 private:
  /// Sum over all workers. @param bytes  of one that computes with so many threads
  [[nodiscard]] std::size_t of_workers(
      const std::function<std::size_t(Index n_threads)>& bytes) const;
  struct Worker {
    explicit Worker(const model::Model& model) : decoder(model) {}
    model::Decoder decoder;
    std::unique_ptr<model::GradientPass> gradients;  ///< null until it is wanted
    model::PhaseSeconds phases{};
  };
  /// Calls next(worker) on every thread until it says that there is no more.
  void side_by_side(const std::function<bool(Worker& worker)>& next);
  /// Calls work(i, worker, threads) for i in [0, n): side by side where every thread has some, else
  /// with all threads for one after another.
  void for_each(Index n,
                const std::function<void(Index i, Worker& worker, ops::ThreadTeam& threads)>& work);
  [[nodiscard]] GradientResult gradient(const GradientUnit& unit, Worker& worker,
                                        ops::ThreadTeam& threads);
  void evaluate_side_by_side(Unit first, UnitSource& units);
  void evaluate(const Unit& unit, Worker& worker, ops::ThreadTeam& threads, UnitSource& units);

  const model::Model& model_;
  ops::ThreadTeam team_;
  ops::ThreadTeam alone_;       ///< each of the team by itself
  std::deque<Worker> workers_;  ///< [threads]
};

}  // namespace d2c::eval
