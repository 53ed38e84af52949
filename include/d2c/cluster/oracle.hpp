#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/cluster/race.hpp"
#include "d2c/core/id_vector.hpp"

namespace d2c::cluster {

/// A set of tasks whose adapters are merged; ascending, without repeats. Its content is its
/// identity.
using TaskSet = std::vector<TaskId>;

/// One entry of the loss matrix that is asked for: task `task` under merge(sets[set]).
struct Query {
  std::size_t set = 0;
  TaskId task;
};

/// Sets that compete for a task; see race().
struct Race {
  /// Stands in `sets` for one whose losses are known wholly.
  static constexpr std::size_t not_needed = static_cast<std::size_t>(-1);

  TaskId task;
  std::vector<std::size_t> sets;  ///< [contestants] indices
  std::vector<FoldId> folds;      ///< [parts] the folds that decide, in the order of looking
  std::vector<double> known;      ///< [contestants, n_folds] NaN = not known
  RaceSetup setup;
  bool measure_all = false;  ///< dropped contestants are measured when all is decided
};

/// Measures losses. A search sees the world only through this interface: no MPI, files or models.
///
/// Collective in a parallel run: every rank makes the same calls with the same arguments, and gets
/// the same values bit for bit.
class LossOracle {
 public:
  virtual ~LossOracle() = default;

  [[nodiscard]] virtual int n_tasks() const = 0;
  /// Examples of each task are split into folds (1 unless losses of parts are asked for).
  [[nodiscard]] virtual int n_folds() const { return 1; }

  /// @param sets     tasks to be merged; none empty
  /// @param queries  entries wanted
  /// @return         loss in nats per token, [queries.size() * n_folds()], finite
  [[nodiscard]] virtual std::vector<double> losses(std::span<const TaskSet> sets,
                                                   std::span<const Query> queries) = 0;

  /// Measures what races need that is not known. A contestant is measured on the folds of its race
  /// as far as it gets, on all folds if it gets to the end. This one measures all folds of all that
  /// are not known wholly.
  /// @return  loss in nats per token, [contestants of all races, n_folds]; NaN = neither measured
  ///          nor known
  [[nodiscard]] virtual std::vector<double> race(std::span<const TaskSet> sets,
                                                 std::span<const Race> races);
};

}  // namespace d2c::cluster
