#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/refine.hpp"

namespace d2c::cluster {

using FoldSet = std::vector<int>;

/// The losses under recipes that were measured, and what they mean for the objective.
class RecipeLosses {
 public:
  /// @param folds  as refine() takes them
  RecipeLosses(RecipeOracle& oracle, const FoldSplit& folds, const Objective& objective);

  /// Measures what is not known, in one call of the oracle.
  /// @param queries  `set` is an index into `recipes`
  void measure(std::span<const Recipe> recipes, std::span<const Query> queries);
  /// The same for every member of the recipes.
  void measure_members(std::span<const Recipe> recipes);

  /// Weighted cost of a task in the objective; 0 if it has no example in the folds.
  /// @pre it is measured
  [[nodiscard]] double cost(const Recipe& recipe, int task, const FoldSet& folds) const;
  /// Objective over the members of the recipes; those without an example in the folds do not count.
  /// @pre they are measured
  [[nodiscard]] Score score(std::span<const Recipe> recipes, const FoldSet& folds) const;

  [[nodiscard]] const FoldSet& choose() const { return choose_; }
  /// Folds that nothing may be chosen by.
  [[nodiscard]] const FoldSet& others() const { return others_; }
  /// What was chosen by some folds has to be confirmed by others of them.
  [[nodiscard]] bool cross_validates() const { return others_.empty() && choose_.size() > 1; }
  /// Entries measured since it was asked last.
  [[nodiscard]] std::int64_t take_measured() { return std::exchange(measured_, 0); }

 private:
  using Losses = std::map<int, std::vector<double>>;  // task -> [n_folds]
  /// Mean over the examples of the folds; NaN where there is none.
  [[nodiscard]] double mean(const Losses& losses, int task, const FoldSet& folds) const;

  RecipeOracle& oracle_;
  const Objective& objective_;
  std::size_t n_folds_;
  std::vector<double> examples_;  // [n_tasks, n_folds]
  FoldSet choose_;
  FoldSet others_;
  std::map<Recipe, Losses> known_;
  std::int64_t measured_ = 0;
};

}  // namespace d2c::cluster
