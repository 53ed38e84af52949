#include <numeric>

#include "loss/evaluate.hpp"
#include "loss/once.hpp"
#include "search/methods.hpp"
#include "weights/agglomeration.hpp"

namespace d2c::cluster {
namespace {

/// Similarity of tasks by the losses under each other's adapters, where there is no other.
SimilarityMatrix transfer(const Problem& problem) {
  const int n = problem.oracle.n_tasks();
  Assignment each(static_cast<std::size_t>(n));
  std::iota(each.begin(), each.end(), 0);
  const LossMatrix loss = loss_matrix(problem.oracle, Partition(std::move(each), n));
  const auto excess = [&](int task, int under) {
    const Objective& objective = problem.objective;
    return objective.weight(task) *
           (objective.cost(task, loss(task, under)) - objective.cost(task, loss(task, task)));
  };
  std::vector<double> similarity(loss.values.size());
  double most = 0;
  for (int a = 0; a < n; ++a)
    for (int b = 0; b < n; ++b) most = std::max(most, excess(a, b) + excess(b, a));
  for (int a = 0; a < n; ++a)
    for (int b = 0; b < n; ++b)
      similarity[static_cast<std::size_t>(a) * static_cast<std::size_t>(n) +
                 static_cast<std::size_t>(b)] =
          most > 0 ? 1 - (excess(a, b) + excess(b, a)) / most : 1;
  return similarity;
}

}  // namespace

SearchResult agglomerative_loss_search(const Problem& problem, const SearchOptions& options) {
  Recorder recorder(problem, options, "agglomerative_loss");
  const Rules rules(options.constraints, problem.oracle.n_tasks(), options.k);
  recorder.begin_restart();
  const std::vector<double> own = problem.oracle.own_losses();
  const SimilarityMatrix similarity = problem.similarity
                                          ? provided(problem.similarity, problem.oracle.n_tasks())
                                          : transfer(problem);
  const auto value = [&](const Partition& partition) {
    const Partition allowed = rules.repaired(partition, EmptyClusters::allow);
    const std::vector<double> losses = member_losses(problem.oracle, allowed);
    recorder.iteration(allowed, known_matrix(problem.oracle, allowed),
                       problem.objective.score(losses), 0);
  };
  // A first result, in case the search has to stop early.
  value(found_once(problem, options.k, [&] { return average_linkage(similarity, options.k); }));
  Agglomeration agglomeration(problem, rules, recorder, similarity, own);
  // What a careful run measures, the ones before it have measured in part.
  for (const double caution : {0.0, 0.5, 1.0})
    if (!recorder.must_stop()) value(agglomeration.run(options.k, caution));
  recorder.end_restart(recorder.must_stop().value_or(StopReason::complete));
  return recorder.finish();
}

}  // namespace d2c::cluster
