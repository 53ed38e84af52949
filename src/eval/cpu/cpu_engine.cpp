#include "cpu/cpu_engine.hpp"

#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/error.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/row_counts.hpp"
#include "d2c/model/input_pass.hpp"

namespace d2c::eval {
namespace {

struct CpuAdapter final : EngineAdapter {
  CpuAdapter(ops::ThreadTeam& threads, const model::ModelConfig& config,
             const lora::FactorMap& factors)
      : prepared(threads, config, factors) {}
  model::PreparedAdapter prepared;
};

}  // namespace

CpuEngine::CpuEngine(const model::Model& model, int threads) : model_(model), team_(threads) {
  workers_.reserve(static_cast<std::size_t>(threads));
  while (std::ssize(workers_) < threads) workers_.emplace_back(model);
}

std::string CpuEngine::description() const {
  return fmt::format("CPU, {} thread{}", team_.size(), team_.size() == 1 ? "" : "s");
}

AdapterHandle CpuEngine::prepare(const lora::FactorMap& factors) {
  return std::make_shared<const CpuAdapter>(team_, model_.config(), factors);
}

void CpuEngine::losses(UnitSource& units) {
  while (true) {
    if (team_.size() > 1) {
      if (auto first = units.take(team_.size())) evaluate_side_by_side(std::move(*first), units);
    }
    auto unit = units.fetch();
    if (!unit) return;
    evaluate(std::move(*unit), workers_.front(), team_, units);
  }
}

void CpuEngine::evaluate_side_by_side(Unit first, UnitSource& units) {
  std::atomic<bool> begun = false;
  std::atomic<bool> failed = false;  // nobody goes on then
  team_.run_side_by_side([&](int thread) {
    Worker& worker = workers_[static_cast<std::size_t>(thread)];
    try {
      if (!begun.exchange(true)) evaluate(std::move(first), worker, alone_, units);
      while (!failed) {
        auto unit = units.take(1);
        if (!unit) return;
        evaluate(std::move(*unit), worker, alone_, units);
      }
    } catch (...) {
      failed = true;
      throw;
    }
  });
}

void CpuEngine::evaluate(Unit unit, Worker& worker, ops::ThreadTeam& threads, UnitSource& units) {
  // Threads that help are counted too.
  const auto now = [&] {
    return threads.size() > 1 ? process_cpu_seconds() : thread_cpu_seconds();
  };
  const double begin = now();
  const auto* adapter = static_cast<const CpuAdapter*>(unit.adapter.get());
  const model::PreparedAdapter* prepared = adapter == nullptr ? nullptr : &adapter->prepared;
  UnitResult result;
  for (const Batch& batch : unit.batches) {
    std::vector<double> nll = worker.decoder.nll(threads, batch.forest, batch.targets, prepared);
    if (result.nll.empty()) {
      result.nll = std::move(nll);
    } else {
      result.nll.insert(result.nll.end(), nll.begin(), nll.end());
    }
  }
  result.seconds = now() - begin;
  units.report(unit, std::move(result));
}

void CpuEngine::add_inputs(const AdapterHandle& adapter, std::span<const Batch> batches,
                           std::span<const std::unique_ptr<lora::InputMomentSum>> sums) {
  const auto* own = static_cast<const CpuAdapter*>(adapter.get());
  model::InputPass pass(model_);
  for (const Batch& batch : batches) {
    const std::vector<float> counts = row_counts(batch);
    if (sums.front() != nullptr) sums.front()->add_one_hot(batch.forest.ids, counts);
    pass(team_, batch.forest, own == nullptr ? nullptr : &own->prepared,
         [&](std::size_t site, ops::ConstRows x) {
           if (sums[site] != nullptr) sums[site]->add(x, counts);
         });
  }
}

std::size_t CpuEngine::activation_bytes(const model::BatchSize& largest, Index adapter_rank) const {
  // The first decoder has scratch for every thread: it evaluates with all of them, too.
  const auto& config = model_.config();
  const auto one = model::activation_bytes(config, largest, adapter_rank, 1);
  const auto first = model::activation_bytes(config, largest, adapter_rank, team_.size());
  return first + static_cast<std::size_t>(team_.size() - 1) * one;
}

std::size_t CpuEngine::workspace_bytes() const {
  std::size_t bytes = 0;
  for (const Worker& worker : workers_) bytes += worker.decoder.workspace_bytes();
  return bytes;
}

void CpuEngine::record_phases() {
  for (Worker& worker : workers_) {
    worker.phases = {};
    worker.decoder.record_phases(&worker.phases);
  }
}

model::PhaseSeconds CpuEngine::phases() const {
  model::PhaseSeconds sum{};
  for (const Worker& worker : workers_) {
    for (std::size_t p = 0; p < sum.size(); ++p) sum[p] += worker.phases[p];
  }
  return sum;
}

std::unique_ptr<LossEngine> make_cpu_engine(const model::Model& model, int threads) {
  return std::make_unique<CpuEngine>(model, threads);
}

}  // namespace d2c::eval
