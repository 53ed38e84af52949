#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

/// What a run leaves behind, as plain values. The HDF5 form is described in
/// docs/user/results-schema.md.
///
/// Arrays are row-major vectors; their shape stands in brackets. Sizes: task = tasks.name.size(),
/// cluster = n_clusters, iteration = iterations.objective.size(), and so on. An empty vector means
/// "not there", and its dataset is then absent from the file, unless the field is marked required.
/// Losses are nats per token; NaN in a loss or gain means that it was not measured or is undefined.
namespace d2c::results {

/// Everything needed to know where the numbers come from, and to make them again.
struct Provenance {
  std::string software = "d2c";
  std::string version;
  std::string git_commit;
  std::string created_utc;  ///< ISO 8601, e.g. 2025-01-31T12:00:00Z
  int mpi_ranks = 1;
  int threads = 1;  ///< per rank
  std::uint64_t seed = 0;
  std::string command_line;
  std::string config;       ///< all options after defaults, as JSON text
  std::string config_hash;  ///< of what decides the numbers, see the writer of the config
};

/// [task]; all required.
struct TaskTable {
  std::vector<std::string> name;  ///< unique
  std::vector<std::string> adapter;
  std::vector<std::int64_t> n_examples;
  std::vector<std::int64_t> n_tokens;  ///< response tokens whose loss is measured
  std::vector<double> weight;          ///< of the task in the objective, dimensionless
};

/// Steps of the search in the order they were made.
struct IterationTable {
  std::vector<int> restart;         ///< [iteration] index of the restart it belongs to
  std::vector<int> assignment;      ///< [iteration, task] cluster, 0-based
  std::vector<double> loss;         ///< [iteration, task, cluster]
  std::vector<double> objective;    ///< [iteration], required where there are iterations
  std::vector<double> seconds;      ///< [iteration] wall time of the step
  std::vector<std::int64_t> moved;  ///< [iteration] tasks whose cluster differs from the one before
};

/// One row per start of the search, [restart].
struct RestartTable {
  std::vector<double> objective;  ///< best of the restart, required where there are restarts
  std::vector<std::int64_t> iterations;
  std::vector<std::int64_t> evaluations;  ///< losses that no earlier restart needed
  std::vector<std::string> stop_reason;   ///< converged, cycle, max_iterations, ...
};

/// The partition that is returned.
struct FinalResult {
  std::vector<int> assignment;     ///< [task], required
  std::vector<double> loss;        ///< [task, cluster], required
  double objective = 0.0;          ///< in the sense of RunResults::objective_kind
  std::vector<std::int64_t> size;  ///< [cluster] tasks, required
  /// [task] 1 = as good as the task's own adapter, 0 = base model; NaN where the own adapter does
  /// not help
  std::vector<double> gain;
  std::vector<double> regret;  ///< [task] loss in its cluster minus loss with its own adapter
};

/// Name of the baseline (base, own, one, random, ...) to the loss of every task under it, [task].
using Baselines = std::map<std::string, std::vector<double>>;

/// The returned partition measured on examples that the search did not see. NaN where a task has
/// none.
struct Unseen {
  std::vector<std::int64_t> n_examples;  ///< [task]
  std::vector<std::int64_t> n_tokens;    ///< [task]
  std::vector<double> loss;              ///< [task, cluster], required
  double objective = 0.0;                ///< over the tasks that have such examples
  std::vector<double> gain;              ///< [task]
  std::vector<double> regret;            ///< [task]
  Baselines baselines;
};

/// Wall time over ranks, [phase], and that of each; seconds. All required where there are phases.
struct Timing {
  std::vector<std::string> phase;
  std::vector<double> min;
  std::vector<double> mean;
  std::vector<double> max;
  std::vector<double> imbalance;  ///< max / mean
  std::vector<std::string> host;  ///< [rank] that it ran on
  std::vector<double> seconds;    ///< [rank, phase]
};

/// Work of the whole run.
struct EvaluationCounts {
  std::int64_t evaluated = 0;        ///< units (task, merged adapter) computed by the model
  std::int64_t cached = 0;           ///< units answered by the cache
  std::int64_t merges = 0;           ///< adapters merged
  std::int64_t tokens = 0;           ///< tokens passed through the model
  std::int64_t tokens_unshared = 0;  ///< the same without sharing of common prefixes
};

/// Best objective so far against work spent, [evaluations].
struct Curve {
  std::vector<std::int64_t> evaluations;  ///< units computed so far, ascending
  std::vector<double> objective;
  std::vector<double> seconds;  ///< since the start of the search
};

/// The best partition for several numbers of clusters, [k]. Empty unless several were tried.
struct SweepTable {
  std::vector<int> k;                     ///< ascending
  std::vector<double> objective;          ///< required
  std::vector<double> gain;               ///< weighted mean over tasks
  std::vector<double> verify_objective;   ///< on examples kept from the search
  std::vector<double> heldout_objective;  ///< on the test split
  std::vector<double> heldout_gain;       ///< weighted mean over tasks
  std::vector<std::int64_t> evaluations;  ///< units asked for that no other k had asked for before
  std::vector<int> assignment;            ///< [k, task], required
  int knee = 0;                           ///< k at the bend of the curve
};

/// How the adapter of each cluster was made from those of its members.
struct RecipeTable {
  std::vector<std::string> method;  ///< [cluster]; empty text for an empty cluster
  std::vector<double> scale;        ///< [cluster] factor on the merged update; NaN for an empty one
  std::vector<double> weight;       ///< [task] of its adapter in its cluster
};

/// The clusters after each step of their refinement, [step]. Empty unless there was one.
struct RefineTable {
  std::vector<std::string> step;          ///< start, distill
  std::vector<double> objective;          ///< required
  std::vector<double> gain;               ///< weighted mean over tasks
  std::vector<double> verify_objective;   ///< on examples kept from the search
  std::vector<double> heldout_objective;  ///< on the test split
  std::vector<double> heldout_gain;       ///< weighted mean over tasks
  std::vector<std::int64_t> changed;      ///< clusters that took their distilled adapter
  std::vector<std::int64_t> evaluations;  ///< units that the step costs; a gradient counts as three
};

/// How the distillation of the clusters went. Empty unless there was one.
struct DistillTable {
  int n_steps = 0;
  /// [cluster, step] before the step: mean over the cluster's tasks of the cross-entropy against
  /// the predictions of their own adapters; NaN: no step
  std::vector<double> loss;
};

/// Tasks that were left out because their adapter cannot be used, [skipped].
struct SkippedTable {
  std::vector<std::string> task;
  std::vector<std::string> adapter;
  std::vector<std::string> reason;
};

/// A run. Groups that are empty or unset are absent from the file.
struct RunResults {
  Provenance provenance;
  TaskTable tasks;
  SkippedTable skipped;
  int n_clusters = 0;  ///< K, clusters that stay empty included
  /// loss: weighted mean loss, nats per token; gain: weighted mean of 1 - gain; worst: largest
  /// 1 - gain. Lower is better in all of them.
  std::string objective_kind = "loss";
  std::string merge_method;  ///< how the members of a cluster were merged
  IterationTable iterations;
  RestartTable restarts;
  FinalResult result;
  Baselines baselines;
  std::optional<Unseen> verify;   ///< few-shot examples kept from the search
  std::optional<Unseen> heldout;  ///< the test split
  Timing timing;
  EvaluationCounts evaluations;
  Curve curve;
  SweepTable sweep;
  RecipeTable recipe;
  RefineTable refine;
  DistillTable distill;
};

}  // namespace d2c::results
