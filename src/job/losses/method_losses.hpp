#pragma once

#include <map>
#include <string>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/partition.hpp"
#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

#include "engine/distributed_oracle.hpp"
#include "session/session.hpp"

namespace d2c::job {

/// Losses under baselines by name, as measured. [task, folds of the split]
using MeasuredBaselines = std::map<std::string, std::vector<double>>;

/// Losses of tasks on each part of the examples.
struct PartLosses {
  std::vector<double> chosen;    ///< [task] on the few-shot examples that a search looks at
  std::vector<double> kept;      ///< [task] on those kept from it; empty where there are none
  std::vector<double> held_out;  ///< [task] on the test split; empty where no task has one
};

/// The losses of a session's tasks under one merge method: what measures them, what the search has
/// seen of them, and those under the baselines that every user compares with. Members that measure
/// are collective.
class MethodLosses {
 public:
  /// Measures the baselines base, own and one (all adapters merged; NaN where the method cannot
  /// take so many, see MergePlan::members_bytes) on the few-shot examples. Collective.
  /// @param options  of the session, with the method
  MethodLosses(Session& session, const RunOptions& options);

  [[nodiscard]] const RunOptions& options() const { return options_; }
  [[nodiscard]] const Job& input() const { return session_.input(); }
  [[nodiscard]] DistributedOracle& oracle() { return oracle_; }
  [[nodiscard]] const cluster::FoldSplit& folds() const { return split_; }
  /// Few-shot examples of every task.
  [[nodiscard]] IdVector<TaskId, std::int64_t> examples_per_task() const;
  /// What the search of a job sees.
  [[nodiscard]] cluster::CachedOracle& cache() { return cache_; }
  /// Of the tasks in the objective.
  [[nodiscard]] const IdVector<TaskId, double>& weights() const { return weights_; }
  /// Over the baselines of the search.
  [[nodiscard]] const cluster::Objective& objective() const { return objective_; }

  /// Measures the baselines on the test split, if any task has one.
  void measure_held_out();
  /// Adds the baseline random, a partition into k clusters that knows nothing, on every split that
  /// was measured; NaN likewise.
  void measure_random(int k);

  /// Of the test split; empty before measure_held_out(), or where there is none.
  [[nodiscard]] const MeasuredBaselines& held_out() const { return held_out_; }
  /// Whether examples are kept from the search.
  [[nodiscard]] bool keeps_examples() const { return options_.verify_examples > 0; }
  /// Baselines on the few-shot examples that the search looks at, or on those kept from it.
  [[nodiscard]] results::Baselines chosen() const;
  [[nodiscard]] results::Baselines kept() const;

  /// Loss of every task under the merged adapter of its own cluster. [task, folds of the split]
  [[nodiscard]] std::vector<double> of(const cluster::Partition& partition, Split split);
  /// The same under the merge configuration that it is a member of; every task is one of one.
  [[nodiscard]] std::vector<double> of(const std::vector<MergeConfig>& configs, Split split);
  /// The same on every part of the examples.
  [[nodiscard]] PartLosses on_all_parts(const std::vector<MergeConfig>& configs);
  /// The same without the test split.
  [[nodiscard]] PartLosses on_few_shot(const std::vector<MergeConfig>& configs);
  /// Loss of every task under every configuration, or of their members alone: as the options have
  /// it. [configuration][task, folds of the split], NaN = not measured
  [[nodiscard]] std::vector<std::vector<double>> columns(const std::vector<MergeConfig>& configs,
                                                         Split split);

 private:
  [[nodiscard]] MeasuredBaselines baselines(Split split);
  /// As of(); all NaN if a cluster has more members than memory allows to merge.
  [[nodiscard]] std::vector<double> where_it_fits(const cluster::Partition& partition, Split split);

  Session& session_;
  RunOptions options_;
  DistributedOracle oracle_;
  cluster::FoldSplit split_;
  cluster::CachedOracle cache_;
  IdVector<TaskId, double> weights_;
  MeasuredBaselines few_shot_;
  MeasuredBaselines held_out_;
  cluster::Objective objective_;
};

/// How each cluster that is not empty is served by the plan, in ascending order of clusters.
[[nodiscard]] std::vector<MergeConfig> configs_of(const cluster::Partition& partition);

}  // namespace d2c::job
