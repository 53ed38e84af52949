#include "output/figures.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace d2c::job {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Losses of every task under each recipe. [recipe][task, folds of the split]
std::vector<std::vector<double>> columns(const Bench& bench,
                                         const std::vector<cluster::Recipe>& recipes, Split split) {
  const std::vector<MergeRequest> requests = bench.oracle.requests_for(recipes);
  std::vector<cluster::Query> queries;
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    for (int task = 0; task < bench.oracle.n_tasks(); ++task) {
      queries.push_back({static_cast<int>(r), task});
    }
  }
  const auto folds = split == Split::few_shot ? bench.oracle.folds() : cluster::ExampleFolds{};
  const std::vector<double> losses = bench.oracle.losses(requests, queries, split, folds);
  const std::size_t n = losses.size() / std::max<std::size_t>(recipes.size(), 1);
  std::vector<std::vector<double>> all;
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    const auto begin = losses.begin() + static_cast<std::ptrdiff_t>(r * n);
    all.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(n));
  }
  return all;
}

void set_column(cluster::LossMatrix& matrix, int cluster, const std::vector<double>& losses) {
  for (int task = 0; task < matrix.n_tasks; ++task) {
    matrix(task, cluster) = losses[static_cast<std::size_t>(task)];
  }
}

/// Cluster of every recipe.
std::vector<int> clusters_of(const cluster::Partition& partition,
                             const std::vector<cluster::Recipe>& recipes) {
  std::vector<int> clusters;
  clusters.reserve(recipes.size());
  for (const cluster::Recipe& recipe : recipes) {
    clusters.push_back(partition[recipe.members.front()]);
  }
  return clusters;
}

}  // namespace

Measured measure_clusters(const Bench& bench, const cluster::SearchResult& search) {
  Measured measured{search.partition, search.loss, {}, {}};
  if (bench.options.verify_examples > 0) measured.kept = cluster::verify(bench.cache, search);
  if (!bench.held_out.empty()) measured.held_out = held_out_matrix(bench.oracle, search.partition);
  return measured;
}

Measured measure_clusters(const Bench& bench, const cluster::Partition& partition,
                          const std::vector<cluster::Recipe>& recipes) {
  const cluster::LossMatrix empty(partition.n_tasks(), partition.k());
  Measured measured{partition, empty, {}, {}};
  const std::vector<int> clusters = clusters_of(partition, recipes);
  const auto few_shot = columns(bench, recipes, Split::few_shot);
  if (bench.options.verify_examples > 0) measured.kept = empty;
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    set_column(measured.chosen, clusters[r], bench.cache.mean_of_chosen(few_shot[r]));
    if (bench.options.verify_examples == 0) continue;
    set_column(measured.kept, clusters[r], bench.cache.mean_of_others(few_shot[r]));
  }
  if (bench.held_out.empty()) return measured;
  measured.held_out = empty;
  const auto held_out = columns(bench, recipes, Split::held_out);
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    set_column(measured.held_out, clusters[r], held_out[r]);
  }
  return measured;
}

void describe_result(const Bench& bench, const Measured& measured, results::RunResults& out) {
  const cluster::Partition& partition = measured.partition;
  const std::vector<double> loss = measured.chosen.of(partition);
  out.result.assignment = partition.assignment();
  out.result.loss = measured.chosen.values;
  out.result.objective = objective_of(bench.options.objective, bench.weights, out.baselines, loss);
  for (const int size : partition.sizes()) out.result.size.push_back(size);
  Comparison comparison = compare(out.baselines, loss);
  out.result.gain = std::move(comparison.gain);
  out.result.regret = std::move(comparison.regret);
  if (bench.options.verify_examples > 0) {
    out.verify = unseen(bench.options, bench.weights, partition, measured.kept,
                        verify_part(bench.few_shot, bench.cache));
    out.verify->n_examples.assign(out.tasks.name.size(), bench.options.verify_examples);
  }
  if (bench.held_out.empty()) return;
  out.heldout = unseen(bench.options, bench.weights, partition, measured.held_out, bench.held_out);
  for (int task = 0; task < bench.job.tasks->n_tasks(); ++task) {
    const TaskFacts& facts = bench.job.tasks->facts(task, Split::held_out);
    out.heldout->n_examples.push_back(facts.n_examples);
    out.heldout->n_tokens.push_back(facts.n_targets);
  }
}

/// The curve over K, on all parts of the examples. Collective.
results::SweepTable describe_sweep(const Bench& bench, const cluster::Sweep& sweep) {
  const RunOptions& options = bench.options;
  const results::Baselines chosen = chosen_part(bench.few_shot, bench.cache);
  const results::Baselines kept = verify_part(bench.few_shot, bench.cache);
  results::SweepTable table;
  table.k = sweep.k;
  table.objective = sweep.objectives();
  table.evaluations = sweep.evaluations;
  table.knee = sweep.k[sweep.knee];
  for (const cluster::SearchResult& result : sweep.results) {
    const cluster::Partition& partition = result.partition;
    table.assignment.insert(table.assignment.end(), partition.assignment().begin(),
                            partition.assignment().end());
    table.gain.push_back(mean_gain(bench.weights, chosen, result.loss.of(partition)));
    if (options.verify_examples > 0) {
      table.verify_objective.push_back(
          objective_of(options.objective, bench.weights, kept,
                       cluster::verify(bench.cache, result).of(partition)));
    }
    if (bench.held_out.empty()) continue;
    const auto loss = losses_of(bench.oracle, partition, Split::held_out);
    table.heldout_objective.push_back(
        objective_of(options.objective, bench.weights, bench.held_out, loss));
    table.heldout_gain.push_back(mean_gain(bench.weights, bench.held_out, loss));
  }
  return table;
}

results::Racing describe_racing(const Bench& bench) {
  const cluster::RaceCounts& counts = bench.cache.race_counts();
  const RaceTokens& tokens = bench.oracle.race_tokens();
  results::Racing racing{.error = bench.options.racing,
                         .check = bench.options.racing_check,
                         .races = counts.races,
                         .entrants = counts.entrants,
                         .dropped = counts.dropped,
                         .completed = counts.completed,
                         .tokens = tokens.raced,
                         .tokens_whole = tokens.whole,
                         .check_tokens = tokens.checks,
                         .checked = counts.checked,
                         .checked_drops = counts.checked_drops,
                         .wrong_drops = counts.wrong_drops,
                         .wrong_races = counts.wrong_races,
                         .mean_regret = nan,
                         .worst_regret = nan,
                         .estimate = {}};
  for (int task = 0; task < bench.oracle.n_tasks(); ++task) {
    racing.tokens += bench.cache.completed()[static_cast<std::size_t>(task)] *
                     bench.job.tasks->facts(task, Split::few_shot).n_computed;
  }
  if (counts.checked > 0) {
    racing.mean_regret = counts.regret / static_cast<double>(counts.checked);
    racing.worst_regret = counts.worst_regret;
  }
  return racing;
}

results::RefineTable describe_refinement(const Bench& bench,
                                         const std::vector<cluster::RefineStage>& stages) {
  const RunOptions& options = bench.options;
  const results::Baselines chosen = chosen_part(bench.few_shot, bench.cache);
  const results::Baselines kept = verify_part(bench.few_shot, bench.cache);
  results::RefineTable table;
  for (const cluster::RefineStage& stage : stages) {
    table.step.emplace_back(cluster::name(stage.step));
    table.changed.push_back(stage.changed);
    table.evaluations.push_back(stage.evaluations);
    const auto few_shot = losses_of(bench.oracle, stage.recipes, Split::few_shot);
    const auto loss = bench.cache.mean_of_chosen(few_shot);
    table.objective.push_back(objective_of(options.objective, bench.weights, chosen, loss));
    table.gain.push_back(mean_gain(bench.weights, chosen, loss));
    if (options.verify_examples > 0) {
      table.verify_objective.push_back(objective_of(options.objective, bench.weights, kept,
                                                    bench.cache.mean_of_others(few_shot)));
    }
    if (bench.held_out.empty()) continue;
    const auto held_out = losses_of(bench.oracle, stage.recipes, Split::held_out);
    table.heldout_objective.push_back(
        objective_of(options.objective, bench.weights, bench.held_out, held_out));
    table.heldout_gain.push_back(mean_gain(bench.weights, bench.held_out, held_out));
  }
  return table;
}

results::RecipeTable describe_recipes(const MergePlan& plan, const cluster::Partition& partition,
                                      const std::vector<cluster::Recipe>& recipes) {
  results::RecipeTable table;
  table.method.resize(static_cast<std::size_t>(partition.k()));
  table.scale.assign(static_cast<std::size_t>(partition.k()), nan);
  table.weight.resize(static_cast<std::size_t>(partition.n_tasks()));
  for (const cluster::Recipe& recipe : recipes) {
    const auto cluster = static_cast<std::size_t>(partition[recipe.members.front()]);
    table.method[cluster] = plan.way_name(recipe.method);
    table.scale[cluster] = recipe.scale;
    for (std::size_t i = 0; i < recipe.members.size(); ++i) {
      table.weight[static_cast<std::size_t>(recipe.members[i])] =
          recipe.weights.empty() ? 1.0 / static_cast<double>(recipe.members.size())
                                 : recipe.weights[i];
    }
  }
  return table;
}

}  // namespace d2c::job
