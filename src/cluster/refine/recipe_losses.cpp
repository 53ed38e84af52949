#include "refine/recipe_losses.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "d2c/core/error.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

}  // namespace

RecipeLosses::RecipeLosses(RecipeOracle& oracle, const FoldSplit& folds, const Objective& objective)
    : oracle_(oracle),
      objective_(objective),
      n_folds_(at(oracle.n_folds())),
      examples_(folds.weights),
      choose_(folds.choose) {
  D2C_EXPECTS(examples_.size() == at(objective.n_tasks()) * n_folds_ && !choose_.empty());
  for (int fold = 0; fold < oracle.n_folds(); ++fold)
    if (std::find(choose_.begin(), choose_.end(), fold) == choose_.end()) others_.push_back(fold);
}

void RecipeLosses::measure(std::span<const Recipe> recipes, std::span<const Query> queries) {
  std::vector<Recipe> asked_recipes;
  std::vector<int> place(recipes.size(), -1);
  std::vector<Query> asked;
  for (const Query& query : queries) {
    const Recipe& recipe = recipes[at(query.set)];
    // An empty row marks what is on its way.
    if (!known_[recipe].emplace(query.task, std::vector<double>()).second) continue;
    if (place[at(query.set)] < 0) {
      place[at(query.set)] = static_cast<int>(asked_recipes.size());
      asked_recipes.push_back(recipe);
    }
    asked.push_back({place[at(query.set)], query.task});
  }
  if (asked.empty()) return;
  const std::vector<double> values = oracle_.losses(asked_recipes, asked);
  D2C_EXPECTS(values.size() == asked.size() * n_folds_);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Query& query = asked[i / n_folds_];
    known_.at(asked_recipes[at(query.set)]).at(query.task).push_back(values[i]);
  }
  measured_ += static_cast<std::int64_t>(asked.size());
}

void RecipeLosses::measure_members(std::span<const Recipe> recipes) {
  std::vector<Query> queries;
  for (std::size_t i = 0; i < recipes.size(); ++i)
    for (const int task : recipes[i].members) queries.push_back({static_cast<int>(i), task});
  measure(recipes, queries);
}

double RecipeLosses::mean(const Losses& losses, int task, const FoldSet& folds) const {
  const std::vector<double>& of_task = losses.at(task);
  double loss = 0;
  double examples = 0;
  for (const int fold : folds) {
    const double n = examples_[at(task) * n_folds_ + at(fold)];
    loss += n * of_task[at(fold)];
    examples += n;
  }
  return examples > 0 ? loss / examples : std::numeric_limits<double>::quiet_NaN();
}

double RecipeLosses::cost(const Recipe& recipe, int task, const FoldSet& folds) const {
  const double loss = mean(known_.at(recipe), task, folds);
  return std::isnan(loss) ? 0 : objective_.weight(task) * objective_.cost(task, loss);
}

Score RecipeLosses::score(std::span<const Recipe> recipes, const FoldSet& folds) const {
  double sum = 0;
  double total = 0;
  double worst = -std::numeric_limits<double>::infinity();
  for (const Recipe& recipe : recipes) {
    const Losses& losses = known_.at(recipe);
    for (const int task : recipe.members) {
      const double loss = mean(losses, task, folds);
      if (std::isnan(loss) || objective_.weight(task) == 0) continue;
      const double cost = objective_.cost(task, loss);
      sum += objective_.weight(task) * cost;
      total += objective_.weight(task);
      worst = std::max(worst, cost);
    }
  }
  if (!(total > 0)) return {0, 0};
  if (objective_.kind() == ObjectiveKind::worst) return {worst, sum / total};
  return {sum / total, 0};
}

}  // namespace d2c::cluster
