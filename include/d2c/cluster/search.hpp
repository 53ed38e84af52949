#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/constraints.hpp"
#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/partition.hpp"
#include "d2c/cluster/similarity_matrix.hpp"

namespace d2c::cluster {

enum class StopReason {
  fixed_point,      ///< no task moves
  repeated,         ///< a partition came up again: a cycle
  max_iterations,   ///< as many iterations as allowed
  max_evaluations,  ///< the budget of evaluations is spent
  stopped,          ///< from outside (time limit, signal)
  complete,         ///< the search has no more to try
};
[[nodiscard]] std::string_view name(StopReason reason);

/// What a search does with a cluster that loses its last task.
enum class EmptyClusters {
  refill,  ///< it gets the task that loses most against its own adapter
  allow,   ///< it stays empty
};

/// How much of the loss matrix of the result is measured.
enum class ResultMatrix {
  full,     ///< every task under every cluster
  members,  ///< every task under its own cluster
};

struct SearchOptions {
  int k = 1;  ///< clusters at most
  std::uint64_t seed = 0;
  int restarts = 10;        ///< independent random starts
  int max_iterations = 50;  ///< per restart
  int perturbations = 5;    ///< of `auto`: it ends when so many in a row led to nothing better
  EmptyClusters empty = EmptyClusters::refill;
  /// Stop when this many entries were asked for; 0 = no limit. Checked between steps: the last step
  /// and the loss matrix of the result come on top.
  std::int64_t max_evaluations = 0;
  Constraints constraints = {};
  std::vector<Assignment> starts = {};  ///< starts to try before the random ones
  ResultMatrix matrix = ResultMatrix::full;
};

/// State of a search after one iteration.
struct Progress {
  std::string_view search;
  int k = 0;  ///< clusters at most
  int restart = 0;
  int iteration = 0;  ///< within the restart
  int moved = 0;      ///< tasks whose cluster differs from the iteration before
  double objective = 0;
  double best = 0;               ///< over all restarts so far
  std::int64_t evaluations = 0;  ///< since the search began
};

/// Called on every rank alike.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_iteration(const Progress& progress) = 0;
};

/// Cosine similarity of the tasks' adapters. Called at most once, by the searches that need it; an
/// empty function = not available.
using SimilarityProvider = std::function<SimilarityMatrix()>;

/// What is to be clustered, and the ways to look at it.
struct Problem {
  CachedOracle& oracle;
  const Objective& objective;
  SimilarityProvider similarity = {};
  /// Not cosines but inner products of adapters reduced to their largest entries.
  SimilarityProvider trimmed_similarity = {};
  /// How work is done that looks at no loss and takes memory as n_tasks^2: by one rank, which gives
  /// the result to all. Collective; an empty function = every rank does it.
  std::function<std::vector<std::int64_t>(const std::function<std::vector<std::int64_t>()>& work)>
      once = {};
  Observer* observer = nullptr;
  /// Asked between steps, on every rank equally often, so it may be collective; true ends the
  /// search with the best so far. Must agree on all ranks.
  std::function<bool()> stop = {};
};

struct Iteration {
  Assignment assignment;
  LossMatrix loss;  ///< NaN where not evaluated
  double objective = 0;
  int moved = 0;                 ///< tasks whose cluster differs from the iteration before
  std::int64_t evaluations = 0;  ///< since the search began
  double seconds = 0;            ///< that it took, what led to it included
};

struct RestartSummary {
  double objective = 0;  ///< of its best iterate
  int iterations = 0;
  std::int64_t evaluations = 0;  ///< that no earlier restart of the search needed
  StopReason stop = StopReason::complete;
  std::uint64_t stream = 0;  ///< of the random numbers, with the seed of the options
};

struct CurvePoint {
  std::int64_t evaluations = 0;  ///< since the search began
  double objective = 0;          ///< best so far
  double seconds = 0;            ///< since the search began
};

/// Clusters are numbered by their lowest task; empty ones come last.
struct SearchResult {
  Partition partition;
  LossMatrix loss;  ///< NaN where not evaluated, and in the columns of empty clusters
  double objective = 0;
  Score score;
  int best_restart = 0;
  int best_iteration = 0;          ///< the iteration of `history` that is the result
  std::vector<Iteration> history;  ///< of the best restart, clusters labelled as in `partition`
  std::vector<RestartSummary> restarts;
  std::vector<CurvePoint> curve;  ///< one point per improvement
  CachedOracle::Counts counts;    ///< of this search
};

/// What a result is worth on the folds that the search did not see.
/// Costs no evaluation where `result.loss` is measured.
/// @return  NaN where `result.loss` is not measured, or a task has no example in these folds
[[nodiscard]] LossMatrix verify(CachedOracle& oracle, const SearchResult& result);

/// The alternation of D2C: merge every cluster, then move every task to the cluster with the lowest
/// loss (the lowest number wins ties), from random starts. The best iterate is returned.
///
/// @throws UsageError if the options do not fit the number of tasks
[[nodiscard]] SearchResult d2c_search(const Problem& problem, const SearchOptions& options);

}  // namespace d2c::cluster
