#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"
#include "d2c/eval/evaluator.hpp"

#include "input/task_store.hpp"

namespace d2c::job {

/// What measuring one contestant of a race took.
struct RaceWork {
  double parts = 0;            ///< of the race that are known in the end, if any was measured
  double tokens = 0;           ///< that went through the model to decide
  double tokens_unshared = 0;  ///< the same with shared prefixes counted each time
  double check_tokens = 0;     ///< that went through the model when all was decided
  double seconds = 0;          ///< of processor time
};

/// Measures a race of merged adapters over the few-shot examples of a task, on one rank. Token
/// prefixes that parts of the examples share are computed once per contestant, as long as there is
/// room to keep them; the losses are the same without.
class RaceUnit {
 public:
  struct Inputs {
    const TaskStore& tasks;
    cluster::ExampleFolds folds;
    /// Makes the adapter of a set ready. Any thread.
    std::function<std::shared_ptr<const model::PreparedAdapter>(int set)> prepare;
    std::size_t token_bytes = 0;   ///< of a kept token, see model::kept_token_bytes
    std::uint64_t kept_bytes = 0;  ///< cap on kept tokens
  };

  RaceUnit(const Inputs& inputs, const cluster::Race& race, eval::Evaluator& evaluator);

  /// @param losses  [contestants, n_folds] gets what is measured
  /// @param work    [contestants]
  void run(std::span<double> losses, std::span<RaceWork> work);

 private:
  struct Contestant {
    eval::StepProgress progress;
    int sections = 0;  ///< of the race that `progress` has behind it
  };

  void divide();
  [[nodiscard]] int section_of(int part) const;
  [[nodiscard]] bool is_known(std::size_t contestant, int begin, int end) const;
  void measure(std::size_t contestant, int begin, int end);
  void advance(std::size_t contestant, int section);
  void read_losses(std::size_t contestant, int end);

  const Inputs& inputs_;
  const cluster::Race& race_;
  eval::Evaluator& evaluator_;
  std::size_t n_folds_;
  std::vector<eval::Example> examples_;
  std::vector<int> fold_of_;  ///< [examples]
  std::vector<eval::Step> steps_;
  std::vector<Contestant> contestants_;
  std::vector<double> in_order_;  ///< [contestants, parts] NaN = not known
  std::span<double> losses_;
  std::span<RaceWork> work_;
  bool decided_ = false;
  int in_use_ = -1;  ///< contestant whose adapter the evaluator has
};

}  // namespace d2c::job
