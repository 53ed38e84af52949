#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/comm/work_queues.hpp"

#include "engine/evaluation_costs.hpp"
#include "engine/work_items.hpp"
#include "merging/job_parts.hpp"

namespace d2c::job {

/// Examples of one split, in folds.
struct FoldedSplit {
  Split split = Split::few_shot;
  cluster::ExampleFolds folds{};
  [[nodiscard]] std::size_t n_folds() const { return static_cast<std::size_t>(folds.n_folds()); }
};

/// A loss to be measured, in each fold: of a task under an adapter.
struct Evaluation {
  std::size_t adapter = 0;  ///< number that its list knows it by
  TaskId task;
  std::size_t entry = 0;  ///< index into the results
};

/// Makes an adapter of a list ready; null = the base model alone. Any thread.
using PrepareAdapter = std::function<eval::AdapterHandle(Index adapter)>;

/// What this rank measured; entries of other ranks are 0.
struct MeasuredLosses {
  MeasuredLosses(std::size_t n, std::size_t n_folds) : losses(n * n_folds, 0.0), seconds(n, 0.0) {}
  std::vector<double> losses;   ///< [entries, folds] nats per token
  std::vector<double> seconds;  ///< [entries] as the engine reports them
};

/// Spreads evaluations over the ranks by their expected cost, has the engine of each rank measure
/// them, and gathers the losses by one all-reduce, in which every entry has one contributor, so
/// that the sum is exact.
///
/// An evaluation is computed wholly on one rank. Which one is planned from what the evaluations of
/// a task cost so far; with Balance::dynamic ranks that finish early take over from others.
class Scheduler {
 public:
  /// Collective. @param ranks_per_node  see comm::Communicator::nodes
  Scheduler(const JobParts& parts, int ranks_per_node, comm::Balance balance);

  /// Measures what of `evaluations` falls to this rank. Collective, with the same ones on every
  /// rank.
  /// @param evaluations  of tasks that have the split
  void measure(std::vector<Evaluation> evaluations, const FoldedSplit& examples,
               const PrepareAdapter& prepare, MeasuredLosses& measured);
  /// Measures evaluations that are this rank's alone. Collective.
  void measure_own(std::vector<Evaluation> evaluations, const FoldedSplit& examples,
                   const PrepareAdapter& prepare, MeasuredLosses& measured);
  /// The losses of all ranks. Collective.
  /// @param task_of  [entries] tasks that have the split
  /// @throws comm::AgreedError (InputError) if one is not finite
  [[nodiscard]] std::vector<double> combine(MeasuredLosses measured, const FoldedSplit& examples,
                                            std::span<const TaskId> task_of);

 private:
  JobParts parts_;
  comm::WorkQueues queues_;
  EvaluationCosts costs_;
};

}  // namespace d2c::job
