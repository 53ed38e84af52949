#include <algorithm>

#include "loss/evaluate.hpp"
#include "search/methods.hpp"
#include "weights/agglomeration.hpp"
#include "weights/average_linkage.hpp"
#include "weights/once.hpp"

namespace d2c::cluster {
namespace {

/// Similarity of tasks by the losses under each other's adapters, where there is no other.
SimilarityMatrix transfer(const Problem& problem) {
  const int n = problem.oracle.n_tasks();
  Assignment each;
  for (int i = 0; i < n; ++i) each.push_back(ClusterId(i));
  const LossMatrix loss = loss_matrix(problem.oracle, Partition(std::move(each), n));
  const auto own = [](TaskId task) { return ClusterId(task.value()); };
  const auto excess = [&](TaskId task, TaskId under) {
    return problem.objective.excess(task, loss(task, own(under)), loss(task, own(task)));
  };
  std::vector<double> similarity;
  double most = 0;
  for (const TaskId a : loss.rows())
    for (const TaskId b : loss.rows()) most = std::max(most, excess(a, b) + excess(b, a));
  for (const TaskId a : loss.rows())
    for (const TaskId b : loss.rows())
      similarity.push_back(most > 0 ? 1 - (excess(a, b) + excess(b, a)) / most : 1);
  return similarity;
}

}  // namespace

SearchResult agglomerative_loss_search(const Problem& problem, const SearchOptions& options) {
  Recorder recorder(problem, options, "agglomerative_loss");
  const Rules rules(options.constraints, problem.oracle.n_tasks(), options.k);
  recorder.begin_restart();
  const IdVector<TaskId, double> own = problem.oracle.own_losses();
  const SimilarityMatrix similarity = problem.similarity
                                          ? provided(problem.similarity, problem.oracle.n_tasks())
                                          : transfer(problem);
  const auto value = [&](const Partition& partition) {
    const Partition allowed = rules.repaired(partition, EmptyClusters::allow);
    const IdVector<TaskId, double> losses = member_losses(problem.oracle, allowed);
    recorder.iteration(allowed, known_matrix(problem.oracle, allowed),
                       problem.objective.score(losses));
  };
  // A first result, in case the search has to stop early.
  value(found_once(problem, options.k, [&] { return average_linkage(similarity, options.k); }));
  constexpr int most_first = 1024;
  Agglomeration agglomeration(problem, rules, recorder, similarity, own,
                              std::max(most_first, 4 * options.k));
  // What a careful run measures, the ones before it have measured in part.
  for (const double caution : {0.0, 0.5, 1.0})
    if (!recorder.must_stop()) value(agglomeration.run(options.k, caution));
  recorder.end_restart(recorder.must_stop().value_or(StopReason::complete));
  return recorder.finish();
}

}  // namespace d2c::cluster
