#pragma once

#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"

#include "input/task_store.hpp"
#include "merging/merger.hpp"

namespace d2c::job {

/// The adapter that serves the tasks of a set best as it is: the one with the lowest mean loss, of
/// the adapters of its tasks.
class Medoids {
 public:
  /// Losses on few-shot examples. [queries, folds]
  using MeasureLosses = std::function<std::vector<double>(std::span<const MergeRequest> requests,
                                                          std::span<const cluster::Query> queries)>;

  Medoids(const Merger& merger, const TaskStore& tasks, cluster::ExampleFolds folds)
      : merger_(merger), tasks_(tasks), folds_(folds) {}

  /// Finds those of sets that have none yet. Collective.
  void choose(std::span<const cluster::TaskSet> sets, const MeasureLosses& measure);
  /// @pre choose() was asked for it
  [[nodiscard]] AdapterId of(const cluster::TaskSet& set) const { return medoids_.at(set); }

 private:
  void measure_singles(std::span<const cluster::TaskSet> sets, const MeasureLosses& measure);
  [[nodiscard]] double mean_to_choose_by(TaskId task, const double* fold_losses) const;

  const Merger& merger_;
  const TaskStore& tasks_;
  cluster::ExampleFolds folds_;
  std::map<std::pair<AdapterId, TaskId>, double> single_losses_;
  std::map<cluster::TaskSet, AdapterId> medoids_;
};

}  // namespace d2c::job
