#include "cross_fitting.hpp"

#include <utility>

namespace d2c::job {

std::optional<cluster::CrossFit> cross_fit_search(
    DistributedOracle& oracle, const cluster::Problem& problem, const RunOptions& options,
    const MeasuredBaselines& few_shot, const std::vector<double>& weights, const Job& job,
    Checkpointing& checkpointing,
    const std::function<std::vector<cluster::SearchResult>(const cluster::Problem&)>& search,
    std::vector<cluster::CachedOracle::Entry>& known) {
  cluster::CrossFitProblem parts{
      .oracle = oracle,
      .folds = oracle.folds().split(examples_per_task(*job.tasks, Split::few_shot)),
      .objective = options.objective,
      .weights = weights,
      .base = few_shot.at("base"),
      .own = few_shot.at("own")};
  parts.similarity = problem.similarity;
  parts.trimmed_similarity = problem.trimmed_similarity;
  parts.once = problem.once;
  parts.stop = [&](const cluster::CachedOracle& cache) { return checkpointing.stop(cache); };
  return cluster::cross_fit(parts, search, known);
}

results::CrossFitTable describe_cross_fit(const Bench& bench, const cluster::CrossFit& fit,
                                          std::size_t result, const cluster::Partition& found) {
  const results::Baselines chosen = chosen_part(bench.few_shot, bench.cache);
  results::CrossFitTable table;
  table.loss = fit.losses[result];
  table.gain = compare(chosen, table.loss).gain;
  table.objective = objective_of(bench.options.objective, bench.weights, chosen, table.loss);
  table.seen = fit.objectives[result];
  table.evaluations = fit.measured;
  for (const cluster::Partition& partition : fit.partitions[result]) {
    table.fold.push_back(static_cast<int>(table.fold.size()));
    table.agreement.push_back(cluster::adjusted_rand_index(partition, found));
    table.assignment.insert(table.assignment.end(), partition.assignment().begin(),
                            partition.assignment().end());
  }
  return table;
}

}  // namespace d2c::job
