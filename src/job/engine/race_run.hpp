#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"
#include "d2c/eval/loss_engine.hpp"

#include "input/task_store.hpp"

namespace d2c::job {

/// What measuring one contestant of a race took.
struct RaceWork {
  double parts = 0;            ///< of the race that are known in the end, if any was measured
  double tokens = 0;           ///< that went through the model to decide
  double tokens_unshared = 0;  ///< the same with shared prefixes counted each time
  double check_tokens = 0;     ///< that went through the model when all was decided
  double seconds = 0;          ///< as the engine reports them
};

/// How races are measured.
struct RaceInputs {
  const TaskStore& tasks;
  cluster::ExampleFolds folds;
  std::size_t token_bytes = 0;   ///< see eval::LossEngine::kept_token_bytes
  std::uint64_t kept_bytes = 0;  ///< cap on what a race keeps between its parts
};

/// Contestants of whose losses some are not known.
[[nodiscard]] std::size_t n_measured(const cluster::Race& race);

/// A race of merged adapters over the few-shot examples of a task, on one rank. Token prefixes that
/// parts of the examples share are computed once per contestant, as long as there is room to keep
/// them; the losses are the same without.
class RaceRun {
 public:
  /// @param inputs, race  outlive this object
  /// @param losses        [contestants, n_folds] gets what is measured
  /// @param work          [contestants]
  RaceRun(const RaceInputs& inputs, const cluster::Race& race, std::span<double> losses,
          std::span<RaceWork> work);

  /// Parts [begin, end) of a contestant that are to be measured next.
  struct Stretch {
    std::size_t contestant = 0;
    int begin = 0;
    int end = 0;
  };
  /// All that can be measured now, in any order; none = the race has ended. To be called when what
  /// it gave before is reported.
  [[nodiscard]] std::vector<Stretch> next();

  /// The batches of a stretch, and what earlier ones kept for them.
  /// @return a unit without id and adapter, whose batches lie in this object
  [[nodiscard]] eval::Unit start(const Stretch& stretch);
  void finish(const Stretch& stretch, const eval::Unit& unit, eval::UnitResult result);

 private:
  struct Contestant {
    int seen = 0;      ///< parts whose losses are in in_order_
    int sections = 0;  ///< that token_losses and prefixes have behind them
    eval::TokenLosses token_losses{};
    std::unique_ptr<eval::KeptPrefixes> prefixes = nullptr;
  };

  void pack();
  [[nodiscard]] int section_of(int part) const;
  [[nodiscard]] bool take_known(const Stretch& stretch);
  void read_losses(std::size_t contestant, int end);

  const RaceInputs& inputs_;
  const cluster::Race& race_;
  std::span<double> losses_;
  std::span<RaceWork> work_;
  std::size_t n_folds_;
  std::vector<eval::Example> examples_;
  std::vector<FoldId> fold_of_;       ///< [examples]
  std::vector<eval::Batch> batches_;  ///< a section between two probes is a part of these
  std::vector<Contestant> contestants_;
  std::vector<double> in_order_;  ///< [contestants, parts] NaN = not known
  bool decided_ = false;
};

}  // namespace d2c::job
