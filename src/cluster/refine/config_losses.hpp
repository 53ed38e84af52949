#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/refine.hpp"

namespace d2c::cluster {

using FoldSet = std::vector<FoldId>;

/// The losses under merge configurations that were measured, and what they mean for the objective.
class ConfigLosses {
 public:
  /// @param folds  as refine() takes them
  ConfigLosses(MergeConfigOracle& oracle, const FoldSplit& folds, const Objective& objective);

  /// Measures what is not known, in one call of the oracle.
  /// @param queries  `set` is an index into `configs`
  void measure(std::span<const MergeConfig> configs, std::span<const Query> queries);
  /// The same for every member.
  void measure_members(std::span<const MergeConfig> configs);

  /// Weighted cost of a task in the objective; 0 if it has no example in the folds.
  /// @pre it is measured
  [[nodiscard]] double cost(const MergeConfig& config, TaskId task, const FoldSet& folds) const;
  /// Objective over the members; those without an example in the folds do not count.
  /// @pre they are measured
  [[nodiscard]] Score score(std::span<const MergeConfig> configs, const FoldSet& folds) const;

  [[nodiscard]] const FoldSet& choose() const { return choose_; }
  /// Folds that nothing may be chosen by.
  [[nodiscard]] const FoldSet& others() const { return others_; }
  /// What was chosen by some folds has to be confirmed by others of them.
  [[nodiscard]] bool cross_validates() const { return others_.empty() && choose_.size() > 1; }
  /// Entries measured since it was asked last.
  [[nodiscard]] std::int64_t take_measured() { return std::exchange(measured_, 0); }

 private:
  using Losses = std::map<TaskId, IdVector<FoldId, double>>;
  /// Mean over the examples of the folds; NaN where there is none.
  [[nodiscard]] double mean(const Losses& losses, TaskId task, const FoldSet& folds) const;

  MergeConfigOracle& oracle_;
  const Objective& objective_;
  IdMatrix<TaskId, FoldId> examples_;
  FoldSet choose_;
  FoldSet others_;
  std::map<MergeConfig, Losses> known_;
  std::int64_t measured_ = 0;
};

}  // namespace d2c::cluster
