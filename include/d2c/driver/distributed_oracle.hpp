#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"
#include "d2c/comm/communicator.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/driver/adapter_store.hpp"
#include "d2c/driver/distributed_merge.hpp"
#include "d2c/driver/task_store.hpp"
#include "d2c/eval/evaluator.hpp"

namespace d2c::driver {

/// Work done by all ranks together.
struct WorkCounts {
  std::int64_t units = 0;            ///< (task, adapter) evaluations
  std::int64_t merges = 0;           ///< adapters merged
  std::int64_t tokens_computed = 0;  ///< distinct prefix tokens that went through the model
  std::int64_t tokens_total = 0;     ///< tokens of the examples, shared prefixes counted each time
};

/// The loss oracle of a parallel job: merges sets of tasks over all ranks, evaluates each task on
/// the rank that owns it, and shares the losses by one all-reduce per call, in which every entry
/// has one contributor, so that the sum is exact.
class DistributedOracle final : public cluster::LossOracle {
 public:
  struct Parts {
    comm::Communicator& comm;
    const AdapterStore& adapters;
    const TaskStore& tasks;
    std::span<const int> adapter_of_task;
    eval::Evaluator& evaluator;
    PhaseTimers& timers;
  };

  /// @param folds       of the few-shot examples; those of the test split are one fold
  /// @param wave_bytes  cap on the merged adapters that a rank holds at a time; at least one is
  /// held
  DistributedOracle(const Parts& parts, MergePlan plan, cluster::ExampleFolds folds = {},
                    std::uint64_t wave_bytes = std::uint64_t{512} << 20);

  [[nodiscard]] int n_tasks() const override { return parts_.tasks.n_tasks(); }
  [[nodiscard]] int n_folds() const override { return folds_.n_folds(); }
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::TaskSet> sets,
                                           std::span<const cluster::Query> queries) override {
    return losses(sets, queries, Split::few_shot);
  }
  /// The same on either split; NaN for a task that has no such examples, 0 for a fold that has
  /// none.
  /// @return  nats per token, [queries.size(), folds of the split]
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::TaskSet> sets,
                                           std::span<const cluster::Query> queries, Split split);

  /// Loss of every task without any adapter. [n_tasks, folds of the split]
  [[nodiscard]] std::vector<double> base_losses(Split split);
  /// Loss of every task under its own adapter as it was read. [n_tasks, folds of the split]
  [[nodiscard]] std::vector<double> own_losses(Split split);

  /// The merged adapter of a set, on every rank.
  [[nodiscard]] lora::FactorMap merged(const cluster::TaskSet& set);

  /// Distinct adapters of a set's tasks; an adapter weighs as many tasks as name it. With
  /// Representative::medoid the chosen adapter alone. @pre losses() was asked for the set then
  [[nodiscard]] MergeRequest request_for(const cluster::TaskSet& set) const;

  /// Type that merged factors are rounded to.
  [[nodiscard]] DType stored_dtype() const { return plan_.stored_dtype; }
  [[nodiscard]] const WorkCounts& work() const { return work_; }

 private:
  /// All adapters of a set's tasks, whatever represents it.
  [[nodiscard]] MergeRequest members_of(const cluster::TaskSet& set) const;
  /// Losses under the merged adapter of each request. Collective.
  [[nodiscard]] std::vector<double> measure(std::span<const MergeRequest> requests,
                                            std::span<const cluster::Query> queries, Split split);
  /// Finds the adapter with the lowest mean loss over the tasks of each set that has none yet.
  void choose_medoids(std::span<const cluster::TaskSet> sets);
  /// Mean over the examples that a search looks at. @param fold_losses  [n_folds]
  [[nodiscard]] double mean_to_choose_by(int task, const double* fold_losses) const;
  [[nodiscard]] cluster::ExampleFolds folds_of(Split split) const {
    return split == Split::few_shot ? folds_ : cluster::ExampleFolds{};
  }
  /// Mean loss of each fold of a task of this rank under the evaluator's adapter, to `values`.
  void evaluate(int task, Split split, double* values);
  void evaluate_wave(std::span<const lora::FactorMap> merged, int first_set,
                     std::span<const cluster::Query> queries, Split split,
                     std::vector<double>& values);
  void share(std::vector<double>& values, Split split, std::span<const cluster::Query> queries);

  Parts parts_;
  MergePlan plan_;
  cluster::ExampleFolds folds_;
  std::uint64_t wave_bytes_;
  WorkCounts work_;
  std::map<std::pair<int, int>, double> single_losses_;  ///< (adapter, task), few-shot
  std::map<cluster::TaskSet, int> medoids_;
};

}  // namespace d2c::driver
