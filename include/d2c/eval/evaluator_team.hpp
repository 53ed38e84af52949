#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "d2c/eval/evaluator.hpp"
#include "d2c/model/cost.hpp"

namespace d2c::eval {

/// A list of evaluations, each of some examples under one adapter, that threads take from.
class UnitList {
 public:
  virtual ~UnitList() = default;

  /// The next unit, if at least `least` are at hand. Any thread, at any time but that of fetch().
  [[nodiscard]] virtual std::optional<Index> take(Index least) = 0;
  /// The next unit at hand, or one from elsewhere; nothing = the list is done. Called by one thread
  /// while no other takes. The others at hand may have changed then.
  [[nodiscard]] virtual std::optional<Index> fetch() { return take(1); }

  /// Which adapter a unit needs: any numbers, equal where adapters are.
  [[nodiscard]] virtual Index adapter(Index unit) const = 0;
  /// Makes one ready; null = the base model alone. One thread at a time.
  [[nodiscard]] virtual std::shared_ptr<const model::PreparedAdapter> prepare(Index adapter) = 0;

  /// Evaluates a unit with an evaluator that uses its adapter. Any thread.
  virtual void measure(Evaluator& evaluator, Index unit) = 0;
};

/// Units 0 .. n - 1, handed out in this order.
class Countdown {
 public:
  explicit Countdown(std::size_t n) : n_(static_cast<Index>(n)) {}
  /// See UnitList::take.
  [[nodiscard]] std::optional<Index> take(Index least) {
    Index next = next_.load();
    while (n_ - next >= std::max(least, Index{1})) {
      if (next_.compare_exchange_weak(next, next + 1)) return next;
    }
    return std::nullopt;
  }

 private:
  Index n_;
  std::atomic<Index> next_ = 0;
};

/// An evaluator for each thread of the process.
///
/// Where a list has a unit for every thread, units are evaluated side by side, each by one thread:
/// nothing is waited for but its end, and what a thread writes stays in its caches. Fewer units are
/// evaluated one by one by all threads. No bit of a loss depends on which way it went.
class EvaluatorTeam {
 public:
  /// @param model  outlives this object
  explicit EvaluatorTeam(const model::Model& model);

  /// An adapter in the form that evaluators of the model use.
  /// @throws InputError if the adapter does not fit the model
  [[nodiscard]] std::shared_ptr<const model::PreparedAdapter> prepared(
      const lora::FactorMap& adapter) const;

  /// Evaluates a whole list.
  /// @throws what the list throws
  void run(UnitList& units);

  /// Bytes of a token that is kept between steps; see model::kept_token_bytes.
  [[nodiscard]] std::size_t kept_token_bytes() const;
  /// Bytes of activations kept by all evaluators.
  [[nodiscard]] std::size_t workspace_bytes() const;

  /// Records what evaluations spend their time with, from now on.
  void record_phases();
  /// Processor time of all threads since then.
  [[nodiscard]] model::PhaseSeconds phases() const;

 private:
  struct Member {
    std::unique_ptr<Evaluator> evaluator;
    std::optional<Index> adapter{};  ///< in use, of the list that runs
    model::PhaseSeconds phases{};
  };
  void add_member();
  void forget_adapters();
  void evaluate(UnitList& units, Index unit, Member& member);

  const model::Model& model_;
  std::vector<Member> members_;
  bool records_phases_ = false;

  std::mutex preparing_;
  std::optional<Index> ready_;  ///< the adapter that was prepared last, of the list that runs
  std::shared_ptr<const model::PreparedAdapter> ready_adapter_;
};

/// Bound on what a team of n threads keeps; see model::activation_bytes.
[[nodiscard]] std::size_t team_activation_bytes(const model::ModelConfig& config,
                                                const model::BatchSize& batch, Index adapter_rank,
                                                Index n_threads);

}  // namespace d2c::eval
