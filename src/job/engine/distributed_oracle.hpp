#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "d2c/cluster/folds.hpp"
#include "d2c/cluster/oracle.hpp"

#include "distill/distill.hpp"
#include "engine/medoids.hpp"
#include "engine/merge_config.hpp"
#include "engine/round_length.hpp"
#include "engine/scheduler.hpp"
#include "losses/known_losses.hpp"
#include "merging/job_parts.hpp"
#include "merging/merger.hpp"

namespace d2c::job {

/// Work done by all ranks together.
struct WorkCounts {
  std::int64_t units = 0;            ///< (task, adapter) evaluations
  std::int64_t merges = 0;           ///< adapters merged
  std::int64_t tokens_computed = 0;  ///< distinct prefix tokens that went through the model
  std::int64_t tokens_total = 0;     ///< tokens of the examples, shared prefixes counted each time
};

/// How a job uses the machine. None of it changes a number.
struct MachineOptions {
  /// Cap on the merged adapters that a node holds at a time; at least one is held.
  std::uint64_t merged_bytes = std::uint64_t{512} << 20;
  int ranks_per_node = 0;  ///< see comm::Communicator::nodes
  comm::Balance balance = comm::Balance::dynamic;
};

/// The loss oracle of a parallel job: has sets of tasks merged into the memory of every node, and
/// the losses of tasks under them measured over all ranks.
class DistributedOracle final : public cluster::LossOracle {
 public:
  struct Parts : JobParts {
    KnownLosses& known;                  ///< is never measured again; gets what is measured
    const std::function<void()>& pause;  ///< called between batches of work; may end the job
    InputStore* inputs = nullptr;        ///< see Merger
    TrainingStates* training = nullptr;  ///< see DistillParts::states
  };

  /// Collective.
  /// @param folds  of the few-shot examples; those of the test split are one fold
  DistributedOracle(const Parts& parts, MergePlan plan, cluster::ExampleFolds folds,
                    const MachineOptions& machine);

  [[nodiscard]] int n_tasks() const override { return parts_.tasks.n_tasks(); }
  [[nodiscard]] int n_folds() const override { return folds_.n_folds(); }
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::TaskSet> sets,
                                           std::span<const cluster::Query> queries) override {
    return losses(requests_of(sets), queries, Split::few_shot);
  }
  /// The same under any merges and on either split; NaN for a task that has no such examples, 0 for
  /// a fold that has none.
  /// @return  nats per token, [queries.size(), folds of the split]
  [[nodiscard]] std::vector<double> losses(std::span<const MergeRequest> requests,
                                           std::span<const cluster::Query> queries, Split split);
  /// Of the examples of a split.
  [[nodiscard]] std::size_t n_folds(Split split) const { return folded(split).n_folds(); }

  /// Whether memory allows to merge a set; see MergePlan::members_bytes.
  [[nodiscard]] bool can_merge(const cluster::TaskSet& set) const;

  /// Loss of every task without any adapter. [n_tasks, folds of the split]
  [[nodiscard]] std::vector<double> base_losses(Split split);
  /// Loss of every task under its own adapter as it was read. [n_tasks, folds of the split]
  /// Measured by the ranks that hold the adapters: none travels.
  [[nodiscard]] std::vector<double> own_losses(Split split);

  /// Trains the merged adapters of clusters, see job::distill(). Collective.
  [[nodiscard]] Distilled distill(std::span<const DistillCluster> clusters,
                                  const DistillOptions& options, const std::function<bool()>& stop);
  /// Keeps an adapter for merge configurations. @return  its number, see MergeConfig::trained
  [[nodiscard]] int keep(std::shared_ptr<const TrainedAdapter> adapter);
  /// Forgets what was kept; nothing may ask for it again.
  void drop_trained() { trained_.clear(); }
  /// How the adapter of a merge configuration is made, in a few words.
  [[nodiscard]] std::string method_name(const MergeConfig& config) const;

  /// The merged adapter, on every rank. Collective.
  [[nodiscard]] lora::FactorMap merged(const MergeRequest& request);

  /// Distinct adapters of a set's tasks; an adapter weighs as many tasks as name it. With
  /// Representative::medoid the chosen adapter alone. @pre losses() was asked for the set then, or
  /// choose_representatives()
  [[nodiscard]] MergeRequest request_for(const cluster::TaskSet& set) const;
  /// One for each configuration, whatever was asked for before, with the adapter that was trained,
  /// if there is one. Collective.
  [[nodiscard]] std::vector<MergeRequest> requests_for(std::span<const MergeConfig> configs);

  /// Makes requests for these sets possible. Collective.
  void choose_representatives(std::span<const cluster::TaskSet> sets);

  [[nodiscard]] const MergePlan& plan() const { return merger_.plan(); }
  [[nodiscard]] cluster::ExampleFolds folds() const { return folds_; }
  [[nodiscard]] const WorkCounts& work() const { return work_; }

 private:
  /// Held-out examples are one fold.
  [[nodiscard]] FoldedSplit folded(Split split) const {
    return {split, split == Split::few_shot ? folds_ : cluster::ExampleFolds{}};
  }
  [[nodiscard]] std::vector<MergeRequest> requests_of(std::span<const cluster::TaskSet> sets);
  /// What losses under a request are known by.
  [[nodiscard]] std::vector<results::LossKey> keys_of(std::span<const MergeRequest> requests,
                                                      const FoldedSplit& examples) const;
  /// Merges and measures, and adds to what is known.
  void measure(std::span<const MergeRequest> requests, std::span<const results::LossKey> keys,
               std::span<const cluster::Query> queries, const FoldedSplit& examples);
  /// Calls measure(begin, end) for pieces of a list one round after the other, and pause() between
  /// them: signals are seen, and checkpoints written, within a list that takes hours.
  /// @param n_tokens  [list] what each costs
  void in_rounds(std::span<const double> n_tokens,
                 const std::function<void(std::size_t begin, std::size_t end)>& measure);
  /// One of each rank that holds their adapters, then the next of each, so that a part of them is
  /// work for all.
  [[nodiscard]] std::vector<TaskId> in_turn(std::span<const TaskId> tasks) const;
  using MeasureTasks = std::function<void(std::span<const TaskId> tasks,
                                          const FoldedSplit& examples, MeasuredLosses& measured)>;
  /// Losses of all tasks under what `under` names, of which measure() gives those of the tasks not
  /// yet known.
  [[nodiscard]] std::vector<double> of_all_tasks(const char* under, Split split,
                                                 const MeasureTasks& measure);

  Parts parts_;
  cluster::ExampleFolds folds_;
  Merger merger_;
  Medoids medoids_;
  Scheduler scheduler_;
  RoundLength round_;
  std::vector<std::shared_ptr<const TrainedAdapter>> trained_;
  WorkCounts work_;
};

}  // namespace d2c::job
