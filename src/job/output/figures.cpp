#include "output/figures.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace d2c::job {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void set_column(cluster::LossMatrix& matrix, ClusterId cluster,
                const IdVector<TaskId, double>& losses) {
  for (const TaskId task : matrix.rows()) matrix(task, cluster) = losses[task];
}

/// Without tasks where no task has a test split.
cluster::LossMatrix held_out_matrix(MethodLosses& losses, const cluster::Partition& partition,
                                    const std::vector<MergeConfig>& configs) {
  if (losses.held_out().empty()) return {};
  cluster::LossMatrix matrix(partition.n_tasks(), partition.k());
  const auto columns = losses.columns(configs, Split::held_out);
  for (std::size_t r = 0; r < configs.size(); ++r) {
    set_column(matrix, partition[configs[r].members.front()], columns[r]);
  }
  return matrix;
}

}  // namespace

Measured measure_clusters(MethodLosses& losses, const cluster::SearchResult& search) {
  Measured measured{search.partition, search.loss, {}, {}};
  if (losses.keeps_examples()) measured.kept = cluster::verify(losses.cache(), search);
  const auto configs = configs_of(search.partition);
  measured.held_out = held_out_matrix(losses, search.partition, configs);
  return measured;
}

Measured measure_clusters(MethodLosses& losses, const cluster::Partition& partition,
                          const std::vector<MergeConfig>& configs) {
  const cluster::LossMatrix empty(partition.n_tasks(), partition.k());
  Measured measured{partition, empty, {}, held_out_matrix(losses, partition, configs)};
  if (losses.keeps_examples()) measured.kept = empty;
  const auto columns = losses.columns(configs, Split::few_shot);
  for (std::size_t r = 0; r < configs.size(); ++r) {
    const ClusterId cluster = partition[configs[r].members.front()];
    set_column(measured.chosen, cluster, losses.cache().mean_of_chosen(columns[r]));
    if (!losses.keeps_examples()) continue;
    set_column(measured.kept, cluster, losses.cache().mean_of_others(columns[r]));
  }
  return measured;
}

void describe_result(MethodLosses& losses, const Measured& measured, results::RunResults& out) {
  const cluster::Partition& partition = measured.partition;
  const std::vector<double> loss = measured.chosen.of(partition);
  out.result.assignment = numbers_of(partition.assignment());
  out.result.loss = measured.chosen.values;
  out.result.objective =
      objective_of(losses.options().objective, losses.weights(), out.baselines, loss);
  for (const int size : partition.sizes()) out.result.size.push_back(size);
  Comparison comparison = compare(out.baselines, loss);
  out.result.gain = std::move(comparison.gain);
  out.result.regret = std::move(comparison.regret);
  if (losses.keeps_examples()) {
    out.verify = unseen(losses.options().objective, losses.weights(), partition, measured.kept,
                        losses.kept());
    out.verify->n_examples.assign(out.tasks.name.size(), losses.options().verify_examples);
  }
  if (losses.held_out().empty()) return;
  out.heldout = unseen(losses.options().objective, losses.weights(), partition, measured.held_out,
                       losses.held_out());
  for (const TaskId task : losses.input().tasks->ids()) {
    const TaskFacts& facts = losses.input().tasks->facts(task, Split::held_out);
    out.heldout->n_examples.push_back(facts.n_examples);
    out.heldout->n_tokens.push_back(facts.n_targets);
  }
}

results::SweepTable describe_sweep(MethodLosses& losses, const cluster::Sweep& sweep) {
  results::SweepTable table;
  table.k = sweep.k;
  table.evaluations = sweep.evaluations;
  table.knee = sweep.k[sweep.knee];
  for (const cluster::SearchResult& result : sweep.results) {
    append_numbers(result.partition.assignment(), table.assignment);
    append_worth(losses, losses.on_all_parts(configs_of(result.partition)), table);
  }
  return table;
}

results::RefineTable describe_refinement(MethodLosses& losses, const std::vector<Refined>& stages) {
  results::RefineTable table;
  for (const Refined& stage : stages) {
    table.step.push_back(stage.step);
    table.changed.push_back(stage.changed);
    table.evaluations.push_back(stage.evaluations);
    append_worth(losses, losses.on_all_parts(stage.configs), table);
  }
  return table;
}

results::DistillTable describe_distillation(const std::vector<std::vector<double>>& curves,
                                            const std::vector<MergeConfig>& configs,
                                            const cluster::Partition& partition) {
  std::size_t n_steps = 0;
  for (const auto& curve : curves) n_steps = std::max(n_steps, curve.size());
  results::DistillTable table;
  table.n_steps = static_cast<int>(n_steps);
  table.loss.assign(static_cast<std::size_t>(partition.k()) * n_steps, nan);
  for (std::size_t r = 0; r < configs.size(); ++r) {
    const auto cluster = partition[configs[r].members.front()].index();
    std::ranges::copy(curves[r],
                      table.loss.begin() + static_cast<std::ptrdiff_t>(cluster * n_steps));
  }
  return table;
}

results::RecipeTable describe_configs(const DistributedOracle& oracle,
                                      const cluster::Partition& partition,
                                      const std::vector<MergeConfig>& configs) {
  results::RecipeTable table;
  table.method.resize(static_cast<std::size_t>(partition.k()));
  table.scale.assign(static_cast<std::size_t>(partition.k()), nan);
  table.weight.resize(static_cast<std::size_t>(partition.n_tasks()));
  for (const MergeConfig& config : configs) {
    const std::size_t cluster = partition[config.members.front()].index();
    table.method[cluster] = oracle.method_name(config);
    table.scale[cluster] = oracle.plan().scale;
    for (const TaskId task : config.members) {
      table.weight[task.index()] = 1.0 / static_cast<double>(config.members.size());
    }
  }
  return table;
}

}  // namespace d2c::job
