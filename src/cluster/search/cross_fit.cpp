#include "d2c/cluster/cross_fit.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

/// The folds without one of those to choose by; nothing else is left to verify with.
FoldSplit without_fold(const FoldSplit& folds, FoldId left_out) {
  FoldSplit rest = folds;
  std::erase(rest.choose, left_out);
  for (const FoldId fold : rest.weights.columns())
    if (std::find(folds.choose.begin(), folds.choose.end(), fold) == folds.choose.end())
      for (const TaskId task : rest.weights.rows()) rest.weights(task, fold) = 0;
  return rest;
}

IdVector<TaskId, double> member_verify_losses(CachedOracle& oracle, const Partition& partition) {
  std::vector<TaskSet> sets;
  IdVector<TaskId, Query> queries(partition.n_tasks());
  for (TaskSet& set : partition.clusters()) {
    if (set.empty()) continue;
    for (const TaskId task : set) queries[task] = {sets.size(), task};
    sets.push_back(std::move(set));
  }
  return oracle.verify_losses(sets, queries);
}

}  // namespace

std::optional<CrossFit> cross_fit(
    const CrossFitProblem& problem,
    const std::function<std::vector<SearchResult>(const Problem&)>& search,
    std::vector<CachedOracle::Entry>& known) {
  const int n_tasks = problem.oracle.n_tasks();
  const IdMatrix<TaskId, FoldId>& weights = problem.folds.weights;
  D2C_EXPECTS(problem.folds.choose.size() >= 2 && weights.n_rows == n_tasks);
  CrossFit result;
  IdVector<TaskId, double> examples(n_tasks);
  for (const FoldId left_out : problem.folds.choose) {
    CachedOracle cache(problem.oracle, without_fold(problem.folds, left_out));
    cache.restore(known);
    References references;
    if (!problem.base.empty()) references.base = cache.mean_of_chosen(problem.base);
    if (!problem.own.empty()) references.own = cache.mean_of_chosen(problem.own);
    const Objective objective(problem.objective, n_tasks, problem.weights, std::move(references));
    Problem rest{.oracle = cache, .objective = objective};
    rest.similarity = problem.similarity;
    rest.trimmed_similarity = problem.trimmed_similarity;
    rest.once = problem.once;
    if (problem.stop) rest.stop = [&] { return problem.stop(cache); };
    const std::vector<SearchResult> found = search(rest);
    if (rest.stop && rest.stop()) return std::nullopt;
    if (result.losses.empty()) {
      result.losses.assign(found.size(), IdVector<TaskId, double>(n_tasks));
      result.partitions.resize(found.size());
      result.objectives.resize(found.size());
    }
    D2C_EXPECTS(found.size() == result.losses.size());
    for (const TaskId task : weights.rows()) examples[task] += weights(task, left_out);
    for (std::size_t r = 0; r < found.size(); ++r) {
      const IdVector<TaskId, double> losses = member_verify_losses(cache, found[r].partition);
      for (const TaskId task : losses.ids())
        if (weights(task, left_out) > 0)
          result.losses[r][task] += weights(task, left_out) * losses[task];
      result.partitions[r].push_back(found[r].partition);
      result.objectives[r].push_back(found[r].objective);
    }
    result.evaluations += cache.counts().evaluations;
    result.measured += cache.counts().measured();
    known = cache.save();
  }
  for (IdVector<TaskId, double>& losses : result.losses)
    for (const TaskId task : losses.ids()) losses[task] /= examples[task];
  return result;
}

double adjusted_rand_index(const Partition& a, const Partition& b) {
  D2C_EXPECTS(a.n_tasks() == b.n_tasks());
  const auto pairs = [](double n) { return n * (n - 1) / 2; };
  IdMatrix<ClusterId, ClusterId, int> together(a.k(), b.k());
  for (const TaskId task : a.tasks()) ++together(a[task], b[task]);
  double both = 0;
  double in_a = 0;
  double in_b = 0;
  for (const int n : together.values) both += pairs(n);
  for (const int n : a.sizes()) in_a += pairs(n);
  for (const int n : b.sizes()) in_b += pairs(n);
  const double all = pairs(a.n_tasks());
  const double expected = all > 0 ? in_a * in_b / all : 0;
  const double most = (in_a + in_b) / 2;
  return most > expected ? (both - expected) / (most - expected) : 1;
}

}  // namespace d2c::cluster
