#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/cluster/constraints.hpp"
#include "d2c/cluster/objective.hpp"
#include "d2c/cluster/oracle.hpp"

namespace d2c::cluster {

/// How the adapter of a cluster is merged from those of its members: a merge configuration.
struct MergeConfig {
  TaskSet members;
  std::vector<double> weights = {};  ///< of the members, sum 1; empty = equal
  int method = 0;                    ///< index of a merge method on offer
  double scale = 1.0;                ///< factor on the merged update
  int trained = -1;  ///< number of the adapter that was trained from the merge and serves instead

  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is in the comparison that the compiler writes
  [[nodiscard]] auto operator<=>(const MergeConfig&) const = default;
};

/// Measures losses under merge configurations. Collective in a parallel run, as LossOracle is.
class MergeConfigOracle {
 public:
  virtual ~MergeConfigOracle() = default;
  [[nodiscard]] virtual int n_folds() const = 0;
  /// @param queries  `set` is an index into `configs`
  /// @return         nats per token, [queries.size(), n_folds()], finite
  [[nodiscard]] virtual std::vector<double> losses(std::span<const MergeConfig> configs,
                                                   std::span<const Query> queries) = 0;
};

/// What is tried, in this order.
struct RefineOptions {
  int n_methods = 1;     ///< methods 0 .. n_methods - 1 take part
  bool scale = false;    ///< line search on the factor of the merged update
  bool weights = false;  ///< of the members, on the simplex
  /// After these steps tasks move to the cluster that now serves them best, and clusters that
  /// changed are refined again; so often at most.
  int rounds = 0;
  Constraints constraints = {};  ///< that the moves obey
  /// Asked between steps, on every rank equally often; true ends the refinement with the steps so
  /// far. Must agree on all ranks.
  std::function<bool()> stop = {};
};

enum class RefineStep { start, method, scale, weights, assign, distill };
[[nodiscard]] std::string_view name(RefineStep step);

/// The merge configurations after one step; the same clusters in every stage.
struct RefineStage {
  RefineStep step = RefineStep::start;
  IdVector<ClusterId, MergeConfig> configs;
  int changed = 0;  ///< clusters whose configuration the step changed; RefineStep::assign: tasks
  std::int64_t evaluations = 0;  ///< (task, configuration) entries that the step measured
};

/// Improves the merge configuration of each cluster for its own members, one step after the other.
/// All clusters go in step, so that each round is one call of the oracle. Then, in up to
/// `options.rounds` rounds, tasks move between the clusters: a move is valued by the objective
/// after both clusters are merged anew (a new member gets the mean weight); none is left empty.
///
/// A step chooses by the folds of `folds.choose`. So that few examples are not fitted too closely,
/// a cluster keeps its choice only if it is confirmed by others: by the folds that are not in
/// `choose`, where there are some (no worse there); else by cross-validation over the folds of
/// `choose` (the same step without one fold, judged on that fold, is better than no change; a move
/// of tasks is no worse on any fold). With a single fold in all nothing is confirmed.
///
/// @param folds  with weights; `choose` not empty
/// @param start  members not empty
/// @return       the start and every step that was asked for; the last is the result
[[nodiscard]] std::vector<RefineStage> refine(MergeConfigOracle& oracle, const FoldSplit& folds,
                                              const Objective& objective,
                                              const IdVector<ClusterId, MergeConfig>& start,
                                              const RefineOptions& options);

}  // namespace d2c::cluster
