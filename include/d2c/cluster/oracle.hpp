#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace d2c::cluster {

/// A set of tasks whose adapters are merged; ascending, without repeats. Its content is its
/// identity.
using TaskSet = std::vector<int>;

/// One entry of the loss matrix that is asked for: task `task` under merge(sets[set]).
struct Query {
  int set = 0;
  int task = 0;
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
