#include "d2c/cluster/cross_fit.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// The folds without one of those to choose by; nothing else is left to verify with.
FoldSplit without_fold(const FoldSplit& folds, int left_out, std::size_t n_folds) {
  FoldSplit rest = folds;
  std::erase(rest.choose, left_out);
  for (std::size_t i = 0; i < rest.weights.size(); ++i) {
    const int fold = static_cast<int>(i % n_folds);
    if (std::find(folds.choose.begin(), folds.choose.end(), fold) == folds.choose.end())
      rest.weights[i] = 0;
  }
  return rest;
}

std::vector<double> member_verify_losses(CachedOracle& oracle, const Partition& partition) {
  std::vector<TaskSet> sets;
  std::vector<Query> queries(at(partition.n_tasks()));
  for (TaskSet& set : partition.clusters()) {
    if (set.empty()) continue;
    for (const int task : set) queries[at(task)] = {static_cast<int>(sets.size()), task};
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
  const std::size_t n_folds = at(problem.oracle.n_folds());
  D2C_EXPECTS(problem.folds.choose.size() >= 2 &&
              problem.folds.weights.size() == at(n_tasks) * n_folds);
  CrossFit result;
  std::vector<double> examples(at(n_tasks), 0.0);
  for (std::size_t f = 0; f < problem.folds.choose.size(); ++f) {
    const int left_out = problem.folds.choose[f];
    CachedOracle cache(problem.oracle, without_fold(problem.folds, left_out, n_folds));
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
    if (f == 0) {
      result.losses.assign(found.size(), std::vector<double>(at(n_tasks), 0.0));
      result.partitions.resize(found.size());
      result.objectives.resize(found.size());
    }
    D2C_EXPECTS(found.size() == result.losses.size());
    const auto n_examples = [&](int task) {
      return problem.folds.weights[at(task) * n_folds + at(left_out)];
    };
    for (int task = 0; task < n_tasks; ++task) examples[at(task)] += n_examples(task);
    for (std::size_t r = 0; r < found.size(); ++r) {
      const std::vector<double> losses = member_verify_losses(cache, found[r].partition);
      for (int task = 0; task < n_tasks; ++task)
        if (n_examples(task) > 0) result.losses[r][at(task)] += n_examples(task) * losses[at(task)];
      result.partitions[r].push_back(found[r].partition);
      result.objectives[r].push_back(found[r].objective);
    }
    result.evaluations += cache.counts().evaluations;
    result.measured += cache.counts().measured();
    known = cache.save();
  }
  for (std::vector<double>& losses : result.losses)
    for (std::size_t task = 0; task < losses.size(); ++task) losses[task] /= examples[task];
  return result;
}

double adjusted_rand_index(const Partition& a, const Partition& b) {
  D2C_EXPECTS(a.n_tasks() == b.n_tasks());
  const auto pairs = [](double n) { return n * (n - 1) / 2; };
  std::vector<int> together(at(a.k()) * at(b.k()));
  for (int task = 0; task < a.n_tasks(); ++task) ++together[at(a[task]) * at(b.k()) + at(b[task])];
  double both = 0;
  double in_a = 0;
  double in_b = 0;
  for (const int n : together) both += pairs(n);
  for (const int n : a.sizes()) in_a += pairs(n);
  for (const int n : b.sizes()) in_b += pairs(n);
  const double all = pairs(a.n_tasks());
  const double expected = all > 0 ? in_a * in_b / all : 0;
  const double most = (in_a + in_b) / 2;
  return most > expected ? (both - expected) / (most - expected) : 1;
}

}  // namespace d2c::cluster
