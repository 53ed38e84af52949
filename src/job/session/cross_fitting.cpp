#include "session/cross_fitting.hpp"

#include <utility>

#include "losses/gains.hpp"

namespace d2c::job {

std::optional<cluster::CrossFit> cross_fit_search(
    Session& session, MethodLosses& losses,
    const std::function<std::vector<cluster::SearchResult>(const cluster::Problem&)>& search) {
  const cluster::Problem problem = session.problem(losses.cache(), losses.objective());
  cluster::CrossFitProblem parts{.oracle = losses.oracle(),
                                 .folds = losses.folds(),
                                 .objective = losses.options().objective,
                                 .weights = losses.weights(),
                                 .base = losses.few_shot().at("base"),
                                 .own = losses.few_shot().at("own")};
  parts.similarity = problem.similarity;
  parts.trimmed_similarity = problem.trimmed_similarity;
  parts.once = problem.once;
  parts.stop = [&](const cluster::CachedOracle&) { return session.check(); };
  auto known = losses.cache().save();
  return cluster::cross_fit(parts, search, known);
}

results::CrossFitTable describe_cross_fit(const MethodLosses& losses, const cluster::CrossFit& fit,
                                          std::size_t result, const cluster::Partition& found) {
  const results::Baselines chosen = losses.chosen();
  results::CrossFitTable table;
  table.loss = fit.losses[result];
  table.gain = compare(chosen, table.loss).gain;
  table.objective = objective_of(losses.options().objective, losses.weights(), chosen, table.loss);
  table.seen = fit.objectives[result];
  table.evaluations = fit.measured;
  for (const cluster::Partition& partition : fit.partitions[result]) {
    table.fold.push_back(static_cast<int>(table.fold.size()));
    table.agreement.push_back(cluster::adjusted_rand_index(partition, found));
    append_numbers(partition.assignment(), table.assignment);
  }
  return table;
}

}  // namespace d2c::job
