#include <cmath>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "loss/evaluate.hpp"
#include "partition/rules.hpp"
#include "search/methods.hpp"
#include "search/recorder.hpp"
#include "search/starts.hpp"
#include "weights/average_linkage.hpp"
#include "weights/kernel_kmeans.hpp"
#include "weights/once.hpp"
#include "weights/spectral.hpp"

namespace d2c::cluster {
namespace {

/// Values one partition that was found without looking at losses.
template <typename Find>
SearchResult value_of(const Problem& problem, const SearchOptions& options, std::string_view name,
                      EmptyClusters empty, Find find) {
  Recorder recorder(problem, options, name);
  const Rules rules(options.constraints, problem.oracle.n_tasks(), options.k);
  const std::uint64_t stream = hash_name("cluster.baseline");
  recorder.begin_restart(stream);
  CounterRng rng(options.seed, stream);
  Partition partition = find(rng);
  if (!rules.unconstrained()) partition = rules.repaired(partition, empty);
  const IdVector<TaskId, double> losses = member_losses(problem.oracle, partition);
  recorder.iteration(partition, known_matrix(problem.oracle, partition),
                     problem.objective.score(losses));
  recorder.end_restart(StopReason::complete);
  return recorder.finish();
}

template <typename Cluster>
SearchResult by_similarity(const Problem& problem, const SearchOptions& options,
                           std::string_view name, const SimilarityProvider& provider,
                           Cluster cluster) {
  return value_of(problem, options, name, EmptyClusters::allow, [&](CounterRng& rng) {
    const SimilarityMatrix similarity = provided(provider, problem.oracle.n_tasks());
    return found_once(problem, options.k, rng,
                      [&](CounterRng& r) { return cluster(similarity, options.k, r); });
  });
}

}  // namespace

SimilarityMatrix provided(const SimilarityProvider& provider, int n_tasks) {
  if (!provider)
    throw UsageError({"the similarity of adapters is not available", "this search clusters by it",
                      "choose a search by losses"});
  SimilarityMatrix similarity = provider();
  D2C_EXPECTS(similarity.n() == n_tasks);
  const double value = similarity.any_not_finite();
  if (!std::isfinite(value))
    throw InputError({.file = {}, .item = "similarity of adapters"},
                     {fmt::format("is {} for some pair", value),
                      "adapters cannot be compared by it", "check the values of the adapters"});
  return similarity;
}

SearchResult random_search(const Problem& problem, const SearchOptions& options) {
  return value_of(problem, options, "random", options.empty, [&](CounterRng& rng) {
    return random_partition(problem.oracle.n_tasks(), options.k, options.empty, rng);
  });
}

SearchResult one_search(const Problem& problem, const SearchOptions& options) {
  SearchOptions one = options;
  one.k = 1;
  one.starts.clear();
  return value_of(problem, one, "one", EmptyClusters::allow,
                  [&](CounterRng&) { return Partition(Assignment(problem.oracle.n_tasks()), 1); });
}

SearchResult own_search(const Problem& problem, const SearchOptions& options) {
  const int n_tasks = problem.oracle.n_tasks();
  SearchOptions own = options;
  own.k = n_tasks;
  own.starts.clear();
  own.matrix = ResultMatrix::members;
  if (!options.constraints.together.empty() || options.constraints.min_size > 1)
    throw UsageError({"'own' gives every task a cluster of its own",
                      "the constraints ask for larger clusters", "drop them or choose a search"});
  return value_of(problem, own, "own", EmptyClusters::allow, [&](CounterRng&) {
    Assignment assignment;
    for (int task = 0; task < n_tasks; ++task) assignment.push_back(ClusterId(task));
    return Partition(std::move(assignment), n_tasks);
  });
}

SearchResult kmeans_search(const Problem& problem, const SearchOptions& options) {
  return by_similarity(problem, options, "kmeans", problem.similarity, kernel_kmeans);
}

SearchResult kmeans_trimmed_search(const Problem& problem, const SearchOptions& options) {
  return by_similarity(problem, options, "kmeans_trimmed", problem.trimmed_similarity,
                       [](const SimilarityMatrix& gram, int k, CounterRng& rng) {
                         constexpr int dimensions = 64;
                         return kernel_kmeans(reduced_cosine(gram, dimensions, rng), k, rng);
                       });
}

SearchResult spectral_search(const Problem& problem, const SearchOptions& options) {
  return by_similarity(problem, options, "spectral", problem.similarity, spectral);
}

SearchResult agglomerative_search(const Problem& problem, const SearchOptions& options) {
  return by_similarity(
      problem, options, "agglomerative", problem.similarity,
      [](const SimilarityMatrix& s, int k, CounterRng&) { return average_linkage(s, k); });
}

}  // namespace d2c::cluster
