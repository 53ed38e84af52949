#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "d2c/cluster/sweep.hpp"
#include "d2c/results/run_results.hpp"

#include "losses/gains.hpp"
#include "losses/method_losses.hpp"

/// The figures of a result: losses of partitions and merge configurations on all parts of the
/// examples, in the form in which they are written.
namespace d2c::job {

/// Loss of every task under the merged adapter of every cluster, on each part of the examples. NaN
/// where it is not measured.
struct Measured {
  cluster::Partition partition;
  cluster::LossMatrix chosen;
  cluster::LossMatrix kept;      ///< without tasks where no examples are kept from the search
  cluster::LossMatrix held_out;  ///< without tasks where no task has a test split
};

/// What a search found; few-shot losses are known. Collective.
[[nodiscard]] Measured measure_clusters(MethodLosses& losses, const cluster::SearchResult& search);
/// The same under other merge configurations, one per cluster that is not empty. Collective.
[[nodiscard]] Measured measure_clusters(MethodLosses& losses, const cluster::Partition& partition,
                                        const std::vector<MergeConfig>& configs);

/// Adds what losses of every task are worth to a table of rows: to `objective`, `gain`,
/// `verify_objective`, `heldout_objective` and `heldout_gain`, as far as there are such examples.
template <class Table>
void append_worth(const MethodLosses& losses, const PartLosses& row, Table& table) {
  const cluster::ObjectiveKind kind = losses.options().objective;
  const std::vector<double>& weights = losses.weights();
  const results::Baselines chosen = losses.chosen();
  table.objective.push_back(objective_of(kind, weights, chosen, row.chosen));
  table.gain.push_back(mean_gain(weights, chosen, row.chosen));
  if (losses.keeps_examples()) {
    table.verify_objective.push_back(objective_of(kind, weights, losses.kept(), row.kept));
  }
  if (losses.held_out().empty()) return;
  table.heldout_objective.push_back(objective_of(kind, weights, losses.held_out(), row.held_out));
  table.heldout_gain.push_back(mean_gain(weights, losses.held_out(), row.held_out));
}

/// Fills result, verify and heldout.
void describe_result(MethodLosses& losses, const Measured& measured, results::RunResults& out);
/// The curve over K, on all parts of the examples. Collective.
[[nodiscard]] results::SweepTable describe_sweep(MethodLosses& losses, const cluster::Sweep& sweep);
/// The clusters before or after a step of their refinement.
struct Refined {
  std::string step;
  std::vector<MergeConfig> configs;
  int changed = 0;               ///< clusters that the step changed
  std::int64_t evaluations = 0;  ///< that it took
};
/// The same on all parts of the examples. Collective.
[[nodiscard]] results::RefineTable describe_refinement(MethodLosses& losses,
                                                       const std::vector<Refined>& stages);
/// @param curves  [configs][step]
[[nodiscard]] results::DistillTable describe_distillation(
    const std::vector<std::vector<double>>& curves, const std::vector<MergeConfig>& configs,
    const cluster::Partition& partition);
[[nodiscard]] results::RecipeTable describe_configs(const DistributedOracle& oracle,
                                                    const cluster::Partition& partition,
                                                    const std::vector<MergeConfig>& configs);

}  // namespace d2c::job
