#include "d2c/eval/evaluator_team.hpp"

#include <atomic>

#include "d2c/ops/threads.hpp"

namespace d2c::eval {

EvaluatorTeam::EvaluatorTeam(const model::Model& model) : model_(model) { add_member(); }

std::shared_ptr<const model::PreparedAdapter> EvaluatorTeam::prepared(
    const lora::FactorMap& adapter) const {
  return std::make_shared<const model::PreparedAdapter>(model_.config(), adapter);
}

void EvaluatorTeam::add_member() {
  members_.push_back({.evaluator = std::make_unique<Evaluator>(model_)});
}

void EvaluatorTeam::run(UnitList& units) {
  forget_adapters();
  const int n_threads = ops::threads();
  while (std::ssize(members_) < n_threads) add_member();
  if (records_phases_) {
    // Members have found their places.
    for (Member& member : members_) member.evaluator->record_phases(&member.phases);
  }
  while (true) {
    if (const auto first = n_threads > 1 ? units.take(n_threads) : std::nullopt) {
      std::atomic<bool> begun = false;
      std::atomic<bool> failed = false;  // nobody goes on then
      ops::side_by_side([&](int thread) {
        Member& member = members_[static_cast<std::size_t>(thread)];
        for (auto unit = begun.exchange(true) ? units.take(1) : first; unit && !failed;
             unit = units.take(1)) {
          try {
            evaluate(units, *unit, member);
          } catch (...) {
            failed = true;
            throw;
          }
        }
      });
    }
    const auto unit = units.fetch();
    if (!unit) break;
    evaluate(units, *unit, members_.front());
  }
  forget_adapters();
}

void EvaluatorTeam::forget_adapters() {
  for (Member& member : members_) {
    member.adapter.reset();
    member.evaluator->use(nullptr);
  }
  ready_.reset();
  ready_adapter_.reset();
}

void EvaluatorTeam::evaluate(UnitList& units, Index unit, Member& member) {
  if (const Index adapter = units.adapter(unit); member.adapter != adapter) {
    member.adapter.reset();
    member.evaluator->use(nullptr);
    // Threads that come to an adapter together need the same, and wait for who came first.
    const std::scoped_lock lock(preparing_);
    if (ready_ != adapter) {
      ready_.reset();
      ready_adapter_.reset();
      ready_adapter_ = units.prepare(adapter);
      ready_ = adapter;
    }
    member.evaluator->use(ready_adapter_);
    member.adapter = adapter;
  }
  units.measure(*member.evaluator, unit);
}

std::size_t EvaluatorTeam::kept_token_bytes() const {
  return model::kept_token_bytes(model_.config());
}

std::size_t EvaluatorTeam::workspace_bytes() const {
  std::size_t bytes = 0;
  for (const Member& member : members_) bytes += member.evaluator->workspace_bytes();
  return bytes;
}

void EvaluatorTeam::record_phases() {
  records_phases_ = true;
  for (Member& member : members_) member.phases = {};
}

model::PhaseSeconds EvaluatorTeam::phases() const {
  model::PhaseSeconds sum{};
  for (const Member& member : members_) {
    for (std::size_t p = 0; p < sum.size(); ++p) sum[p] += member.phases[p];
  }
  return sum;
}

std::size_t team_activation_bytes(const model::ModelConfig& config, const model::BatchSize& batch,
                                  Index adapter_rank, Index n_threads) {
  // The first evaluator has scratch for every thread: it evaluates with all of them, too.
  const auto one = model::activation_bytes(config, batch, adapter_rank, 1);
  const auto first = model::activation_bytes(config, batch, adapter_rank, n_threads);
  return first + static_cast<std::size_t>(n_threads - 1) * one;
}

}  // namespace d2c::eval
