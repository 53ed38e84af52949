#pragma once

#include <span>
#include <vector>

#include "d2c/core/id_vector.hpp"

namespace d2c::cluster {

/// A set of tasks whose adapters are merged; ascending, without repeats. Its content is its
/// identity.
using TaskSet = std::vector<TaskId>;

/// One entry of the loss matrix that is asked for: task `task` under merge(sets[set]).
struct Query {
  std::size_t set = 0;
  TaskId task;

  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is in the comparison that the compiler writes
  friend auto operator<=>(const Query&, const Query&) = default;
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
};

}  // namespace d2c::cluster
