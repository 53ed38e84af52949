#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"
#include "d2c/cluster/refine.hpp"
#include "d2c/comm/communicator.hpp"
#include "d2c/comm/work_queues.hpp"
#include "d2c/core/timer.hpp"
#include "d2c/eval/evaluator_team.hpp"

#include "engine/distributed_merge.hpp"
#include "engine/merged_arena.hpp"
#include "input/adapter_store.hpp"
#include "input/task_store.hpp"

namespace d2c::job {

/// Work done by all ranks together.
struct WorkCounts {
  std::int64_t units = 0;            ///< (task, adapter) evaluations
  std::int64_t merges = 0;           ///< adapters merged
  std::int64_t tokens_computed = 0;  ///< distinct prefix tokens that went through the model
  std::int64_t tokens_total = 0;     ///< tokens of the examples, shared prefixes counted each time
};

/// What the races of a search took, of all ranks together.
struct RaceTokens {
  std::int64_t raced = 0;   ///< that went through the model to decide
  std::int64_t whole = 0;   ///< those of the same (task, merged adapter) entries measured wholly
  std::int64_t checks = 0;  ///< that went through the model to check decisions
};

/// How a job uses the machine. None of it changes a number.
struct MachineOptions {
  /// Cap on the merged adapters that a node holds at a time; at least one is held.
  std::uint64_t merged_bytes = std::uint64_t{512} << 20;
  int ranks_per_node = 0;  ///< see comm::Communicator::nodes
  comm::Balance balance = comm::Balance::dynamic;
  /// Cap on the keys and values that a race keeps from one part of the examples to the next.
  std::uint64_t race_bytes = std::uint64_t{256} << 20;
};

/// The loss oracle of a parallel job: merges sets of tasks over all ranks into the memory of every
/// node, spreads the units (task, merged adapter) over the ranks by cost, and shares the losses by
/// one all-reduce per call, in which every entry has one contributor, so that the sum is exact.
///
/// A unit is computed wholly on one rank. Which one is planned from what the units of a task took
/// so far; with Balance::dynamic ranks that finish early take units over from others.
class DistributedOracle final : public cluster::LossOracle {
 public:
  struct Parts {
    comm::Communicator& comm;
    const AdapterStore& adapters;
    const TaskStore& tasks;
    std::span<const int> adapter_of_task;
    eval::EvaluatorTeam& evaluators;
    PhaseTimers& timers;
  };

  /// Collective.
  /// @param folds  of the few-shot examples; those of the test split are one fold
  DistributedOracle(const Parts& parts, MergePlan plan, cluster::ExampleFolds folds,
                    const MachineOptions& machine);

  [[nodiscard]] int n_tasks() const override { return parts_.tasks.n_tasks(); }
  [[nodiscard]] int n_folds() const override { return folds_.n_folds(); }
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::TaskSet> sets,
                                           std::span<const cluster::Query> queries) override {
    return losses(sets, queries, Split::few_shot);
  }
  /// A race is measured on one rank, with the merged adapters of all sets on every node.
  [[nodiscard]] std::vector<double> race(std::span<const cluster::TaskSet> sets,
                                         std::span<const cluster::Race> races) override;
  /// The same on either split; NaN for a task that has no such examples, 0 for a fold that has
  /// none.
  /// @return  nats per token, [queries.size(), folds of the split]
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::TaskSet> sets,
                                           std::span<const cluster::Query> queries, Split split);

  /// The same under any merges, with the few-shot examples in any folds.
  [[nodiscard]] std::vector<double> losses(std::span<const MergeRequest> requests,
                                           std::span<const cluster::Query> queries, Split split,
                                           cluster::ExampleFolds folds);

  /// Whether memory allows to merge a set; see MergePlan::members_bytes.
  [[nodiscard]] bool can_merge(const cluster::TaskSet& set) const;

  /// Loss of every task without any adapter. [n_tasks, folds of the split]
  [[nodiscard]] std::vector<double> base_losses(Split split);
  /// Loss of every task under its own adapter as it was read. [n_tasks, folds of the split]
  /// Measured by the ranks that hold the adapters: none travels.
  [[nodiscard]] std::vector<double> own_losses(Split split);

  /// The merged adapter, on every rank. Collective.
  [[nodiscard]] lora::FactorMap merged(const MergeRequest& request);

  /// Distinct adapters of a set's tasks; an adapter weighs as many tasks as name it. With
  /// Representative::medoid the chosen adapter alone. @pre losses() was asked for the set then, or
  /// choose_representatives()
  [[nodiscard]] MergeRequest request_for(const cluster::TaskSet& set) const;
  /// The same with the weights, the way and the scale of a recipe, in place of the plan's.
  [[nodiscard]] MergeRequest request_for(const cluster::Recipe& recipe) const;

  /// One for each recipe, whatever was asked for before. Collective.
  [[nodiscard]] std::vector<MergeRequest> requests_for(std::span<const cluster::Recipe> recipes);

  /// Makes requests for these sets possible. Collective.
  void choose_representatives(std::span<const cluster::TaskSet> sets);

  /// Type that merged factors are rounded to.
  [[nodiscard]] DType stored_dtype() const { return plan_.stored_dtype; }
  [[nodiscard]] const MergePlan& plan() const { return plan_; }
  [[nodiscard]] cluster::ExampleFolds folds() const { return folds_; }
  [[nodiscard]] const WorkCounts& work() const { return work_; }
  [[nodiscard]] const RaceTokens& race_tokens() const { return race_tokens_; }

 private:
  /// All adapters of a set's tasks, whatever represents it.
  [[nodiscard]] MergeRequest members_of(const cluster::TaskSet& set) const;
  /// Finds the adapter with the lowest mean loss over the tasks of each set that has none yet.
  void choose_medoids(std::span<const cluster::TaskSet> sets);
  /// Mean over the examples that a search looks at. @param fold_losses  [n_folds]
  [[nodiscard]] double mean_to_choose_by(int task, const double* fold_losses) const;
  /// Examples of one split, in folds.
  struct Part {
    Split split;
    cluster::ExampleFolds folds;
    [[nodiscard]] std::size_t n_folds() const { return static_cast<std::size_t>(folds.n_folds()); }
  };
  /// Held-out examples are one fold.
  [[nodiscard]] Part part(Split split) const {
    return {split, split == Split::few_shot ? folds_ : cluster::ExampleFolds{}};
  }
  /// A loss to be measured, in each fold.
  struct Unit {
    int adapter = 0;  ///< index into the adapters at hand
    int task = 0;
    std::size_t entry = 0;  ///< index into the results
  };
  /// Results of this rank; those of others are 0.
  struct Measured {
    Measured(std::size_t n, std::size_t n_folds) : losses(n * n_folds, 0.0), seconds(n, 0.0) {}
    std::vector<double> losses;   ///< [entries, folds]
    std::vector<double> seconds;  ///< of processor time
  };
  /// Makes an adapter ready, given its index; null = the base model.
  using Prepare = std::function<std::shared_ptr<const model::PreparedAdapter>(int)>;
  class Units;
  class UnitsOfRanks;
  class UnitsOfThisRank;
  class RacesOfRanks;
  struct RaceResults;
  void measure_races(std::span<const cluster::Race> races, RaceResults& results);
  void take_over(const cluster::Race& race, std::size_t contestant, std::size_t index,
                 RaceResults& results);
  /// Evaluates a list, in pieces for the ranks. Collective.
  template <class List>
  void evaluate(const std::vector<std::uint32_t>& piece_begin, List& list);
  /// Measures what of `units` falls to this rank. Collective, with the same units on every rank.
  /// @param units  of tasks that have the split
  void measure_units(std::vector<Unit> units, const Part& part, const Prepare& prepare,
                     Measured& measured);
  void measure_unit(eval::Evaluator& evaluator, const Unit& unit, const Part& part,
                    Measured& measured) const;
  /// The losses of all ranks. @param task_of  of each entry
  [[nodiscard]] std::vector<double> combine(Measured measured, const Part& part,
                                            std::span<const int> task_of);

  /// What the units of each task took so far, to plan the next ones.
  class UnitCosts {
   public:
    explicit UnitCosts(const TaskStore& tasks) : tasks_(tasks) {}
    /// @param tokens  of the task's distinct ones; 0 = all
    void add(int task, Split split, double seconds, double tokens = 0);
    /// Seconds, or tokens while nothing was measured.
    [[nodiscard]] double operator()(int task, Split split) const;

   private:
    struct Sum {
      double seconds = 0.0;
      double tokens = 0.0;
    };
    const TaskStore& tasks_;
    std::map<std::pair<int, Split>, Sum> of_task_;
    Sum all_;
  };

  Parts parts_;
  MergePlan plan_;
  cluster::ExampleFolds folds_;
  MachineOptions machine_;
  WorkCounts work_;
  RaceTokens race_tokens_;
  MergedArena arena_;
  comm::WorkQueues queues_;
  UnitCosts costs_;
  std::map<std::pair<int, int>, double> single_losses_;  ///< (adapter, task), few-shot
  std::map<cluster::TaskSet, int> medoids_;
};

}  // namespace d2c::job
