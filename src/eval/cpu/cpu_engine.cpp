#include "cpu/cpu_engine.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/cpu_time.hpp"
#include "d2c/core/error.hpp"
#include "d2c/eval/cpu_engine.hpp"
#include "d2c/eval/row_counts.hpp"
#include "d2c/model/generator.hpp"

namespace d2c::eval {
namespace {

struct CpuAdapter final : EngineAdapter {
  CpuAdapter(ops::ThreadTeam& threads, const model::ModelConfig& config,
             const lora::FactorMap& factors)
      : prepared(threads, config, factors) {}
  model::PreparedAdapter prepared;
};

/// Null where there is none.
const model::PreparedAdapter* prepared_of(const AdapterHandle& handle) {
  const auto* adapter = static_cast<const CpuAdapter*>(handle.get());
  return adapter == nullptr ? nullptr : &adapter->prepared;
}

std::vector<Index> rows_of(const Batch& batch) {
  std::vector<Index> rows;
  rows.reserve(batch.targets.size());
  for (const model::Target& target : batch.targets) rows.push_back(target.row);
  return rows;
}

/// Threads that help are counted too.
double cpu_seconds(const ops::ThreadTeam& threads) {
  return threads.size() > 1 ? process_cpu_seconds() : thread_cpu_seconds();
}

}  // namespace

CpuEngine::CpuEngine(const model::Model& model, int threads) : model_(model), team_(threads) {
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
    evaluate(*unit, workers_.front(), team_, units);
  }
}

void CpuEngine::side_by_side(const std::function<bool(Worker& worker)>& next) {
  std::atomic<bool> failed = false;  // nobody goes on then
  team_.run_side_by_side([&](int thread) {
    try {
      while (!failed && next(workers_[static_cast<std::size_t>(thread)])) continue;
    } catch (...) {
      failed = true;
      throw;
    }
  });
}

void CpuEngine::evaluate_side_by_side(Unit first, UnitSource& units) {
  std::atomic<bool> begun = false;
  side_by_side([&](Worker& worker) {
    std::optional<Unit> unit = begun.exchange(true) ? units.take(1) : std::move(first);
    if (unit) evaluate(*unit, worker, alone_, units);
    return unit.has_value();
  });
}

void CpuEngine::evaluate(const Unit& unit, Worker& worker, ops::ThreadTeam& threads,
                         UnitSource& units) {
  const double begin = cpu_seconds(threads);
  const model::PreparedAdapter* prepared = prepared_of(unit.adapter);
  UnitResult result;
  for (const Batch& batch : unit.batches) {
    std::ranges::copy(worker.decoder.nll(threads, batch.forest, batch.targets, prepared),
                      std::back_inserter(result.nll));
  }
  result.seconds = cpu_seconds(threads) - begin;
  units.report(unit, std::move(result));
}

void CpuEngine::add_inputs(const AdapterHandle& adapter, std::span<const Batch> batches,
                           std::span<const std::unique_ptr<lora::InputMomentSum>> sums) {
  model::Decoder& decoder = workers_.front().decoder;
  for (const Batch& batch : batches) {
    const std::vector<float> counts = row_counts(batch);
    if (sums.front() != nullptr) sums.front()->add_one_hot(batch.forest.ids, counts);
    decoder.show_inputs(team_, batch.forest, prepared_of(adapter),
                        [&](std::size_t site, ops::ConstRows x) {
                          if (sums[site] != nullptr) sums[site]->add(x, counts);
                        });
  }
}

void CpuEngine::for_each(
    Index n, const std::function<void(Index i, Worker& worker, ops::ThreadTeam& threads)>& work) {
  if (team_.size() == 1 || n < team_.size()) {
    for (Index i = 0; i < n; ++i) work(i, workers_.front(), team_);
    return;
  }
  std::atomic<Index> next = 0;
  side_by_side([&](Worker& worker) {
    const Index i = next++;
    if (i < n) work(i, worker, alone_);
    return i < n;
  });
}

std::vector<std::vector<ops::SoftTargets>> CpuEngine::most_probable(std::span<const Unit> units,
                                                                    Index most) {
  std::vector<std::vector<ops::SoftTargets>> result(units.size());
  for_each(std::ssize(units), [&](Index i, Worker& worker, ops::ThreadTeam& threads) {
    const Unit& unit = units[static_cast<std::size_t>(i)];
    for (const Batch& batch : unit.batches) {
      result[static_cast<std::size_t>(i)].push_back(worker.decoder.most_probable(
          threads, batch.forest, rows_of(batch), most, prepared_of(unit.adapter)));
    }
  });
  return result;
}

std::vector<std::vector<std::vector<std::int32_t>>> CpuEngine::generate(
    std::span<const Unit> units, const model::GenerationLimits& limits) {
  std::vector<std::vector<std::vector<std::int32_t>>> result(units.size());
  for_each(std::ssize(units), [&](Index i, Worker&, ops::ThreadTeam& threads) {
    const Unit& unit = units[static_cast<std::size_t>(i)];
    for (const Batch& batch : unit.batches) {
      auto texts = model::generate(model_, threads, batch.forest, rows_of(batch), limits,
                                   prepared_of(unit.adapter));
      std::ranges::move(texts, std::back_inserter(result[static_cast<std::size_t>(i)]));
    }
  });
  return result;
}

void CpuEngine::gradients(std::span<const GradientUnit> units, const GradientReport& report) {
  for_each(std::ssize(units), [&](Index i, Worker& worker, ops::ThreadTeam& threads) {
    report(i, gradient(units[static_cast<std::size_t>(i)], worker, threads));
  });
}

GradientResult CpuEngine::gradient(const GradientUnit& unit, Worker& worker,
                                   ops::ThreadTeam& threads) {
  const model::PreparedAdapter& adapter = *prepared_of(unit.adapter);
  if (worker.gradients == nullptr) {
    worker.gradients = std::make_unique<model::GradientPass>(model_);
  }
  GradientResult result;
  model::AdapterGradient sum(adapter);
  for (const auto& [batch, targets, weight] : unit.lessons) {
    const std::vector<double> losses =
        (*worker.gradients)(threads, batch.forest, rows_of(batch), targets, weight, adapter, sum);
    for (std::size_t i = 0; i < losses.size(); ++i) {
      result.loss += static_cast<double>(weight[i]) * losses[i];
    }
  }
  result.gradient = sum.by_module(model_.config(), adapter);
  return result;
}

std::size_t CpuEngine::of_workers(const std::function<std::size_t(Index n_threads)>& bytes) const {
  // The first worker has scratch for every thread: it computes with all of them, too.
  return bytes(team_.size()) + static_cast<std::size_t>(team_.size() - 1) * bytes(1);
}

std::size_t CpuEngine::activation_bytes(const model::BatchSize& largest, Index adapter_rank) const {
  return of_workers([&](Index n_threads) {
    return model::activation_bytes(model_.config(), largest, adapter_rank, n_threads);
  });
}

std::size_t CpuEngine::gradient_bytes(const model::BatchSize& largest, Index adapter_rank) const {
  return of_workers([&](Index n_threads) {
    return model::gradient_bytes(model_.config(), largest, adapter_rank, n_threads);
  });
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
