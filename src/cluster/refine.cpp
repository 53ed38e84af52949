#include "d2c/cluster/refine.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

#include "d2c/core/error.hpp"

#include "recipe_search.hpp"

namespace d2c::cluster {
namespace {

std::size_t at(int i) { return static_cast<std::size_t>(i); }

using FoldSet = std::vector<int>;

class Refiner {
 public:
  Refiner(RecipeOracle& oracle, const FoldSplit& folds, const Objective& objective,
          const RefineOptions& options)
      : oracle_(oracle),
        objective_(objective),
        options_(options),
        n_folds_(at(oracle.n_folds())),
        examples_(folds.weights),
        choose_(folds.choose) {
    D2C_EXPECTS(examples_.size() == at(objective.n_tasks()) * n_folds_ && !choose_.empty());
    for (int fold = 0; fold < oracle.n_folds(); ++fold)
      if (std::find(choose_.begin(), choose_.end(), fold) == choose_.end()) others_.push_back(fold);
  }

  std::vector<RefineStage> run(const std::vector<Recipe>& start) {
    measure(start);
    stages_.push_back({RefineStep::start, start, 0, std::exchange(measured_, 0)});
    if (options_.n_methods > 1) take(RefineStep::method);
    if (options_.scale) take(RefineStep::scale);
    if (options_.weights) take(RefineStep::weights);
    return std::move(stages_);
  }

 private:
  /// One search of one cluster, judged by some folds.
  struct Trial {
    FoldSet folds;
    std::unique_ptr<RecipeSearch> search;
  };

  [[nodiscard]] std::unique_ptr<RecipeSearch> search(RefineStep step, const Recipe& start,
                                                     const FoldSet& folds) const {
    const double now = value(start, folds);
    if (step == RefineStep::method)
      return method_search(start, now, options_.n_methods, options_.scale);
    return step == RefineStep::scale ? scale_search(start, now) : weight_search(start, now);
  }

  [[nodiscard]] bool cross_validates() const { return others_.empty() && choose_.size() > 1; }

  void take(RefineStep step) {
    RefineStage stage{step, stages_.back().recipes, 0, 0};
    // Per cluster: the search by all folds, then those that lack one fold each.
    std::vector<std::vector<Trial>> trials(stage.recipes.size());
    for (std::size_t k = 0; k < trials.size(); ++k) {
      const Recipe& start = stage.recipes[k];
      trials[k].push_back({choose_, search(step, start, choose_)});
      if (!cross_validates()) continue;
      for (const int left_out : choose_) {
        FoldSet rest = choose_;
        std::erase(rest, left_out);
        trials[k].push_back({rest, search(step, start, rest)});
      }
    }
    run_together(trials);
    for (std::size_t k = 0; k < trials.size(); ++k) {
      const Recipe& found = trials[k].front().search->best();
      if (found == stage.recipes[k] || !is_confirmed(trials[k], stage.recipes[k])) continue;
      stage.recipes[k] = found;
      ++stage.changed;
    }
    stage.evaluations = std::exchange(measured_, 0);
    stages_.push_back(std::move(stage));
  }

  void run_together(std::vector<std::vector<Trial>>& trials) {
    for (;;) {
      std::vector<std::pair<Trial*, std::vector<Recipe>>> proposals;
      std::vector<Recipe> all;
      for (auto& of_cluster : trials)
        for (Trial& trial : of_cluster) {
          std::vector<Recipe> recipes = trial.search->propose();
          if (recipes.empty()) continue;
          all.insert(all.end(), recipes.begin(), recipes.end());
          proposals.emplace_back(&trial, std::move(recipes));
        }
      if (proposals.empty()) return;
      measure(all);
      for (auto& [trial, recipes] : proposals) {
        std::vector<double> values;
        for (const Recipe& recipe : recipes) values.push_back(value(recipe, trial->folds));
        trial->search->judge(recipes, values);
      }
    }
  }

  [[nodiscard]] bool is_confirmed(const std::vector<Trial>& trials, const Recipe& start) const {
    if (!others_.empty())
      return value(trials.front().search->best(), others_) <= value(start, others_);
    if (!cross_validates()) return true;
    double with = 0;
    double without = 0;
    for (std::size_t i = 0; i < choose_.size(); ++i) {
      const FoldSet left_out = {choose_[i]};
      with += value(trials[i + 1].search->best(), left_out);
      without += value(start, left_out);
    }
    return with < without;
  }

  /// Measures every member under recipes that are new.
  void measure(const std::vector<Recipe>& recipes) {
    std::vector<Recipe> unknown;
    for (const Recipe& recipe : recipes)
      if (losses_.emplace(recipe, std::vector<double>()).second) unknown.push_back(recipe);
    std::vector<Query> queries;
    for (std::size_t i = 0; i < unknown.size(); ++i)
      for (const int task : unknown[i].members) queries.push_back({static_cast<int>(i), task});
    const std::vector<double> values = oracle_.losses(unknown, queries);
    D2C_EXPECTS(values.size() == queries.size() * n_folds_);
    for (std::size_t i = 0; i < values.size(); ++i)
      losses_[unknown[at(queries[i / n_folds_].set)]].push_back(values[i]);
    measured_ += static_cast<std::int64_t>(queries.size());
  }

  /// Objective of the members of a recipe on some folds; those without an example there do not
  /// count. @pre it is measured
  [[nodiscard]] double value(const Recipe& recipe, const FoldSet& folds) const {
    const std::vector<double>& losses = losses_.at(recipe);
    double sum = 0;
    double total = 0;
    double worst = -std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < recipe.members.size(); ++i) {
      const int task = recipe.members[i];
      double loss = 0;
      double examples = 0;
      for (const int fold : folds) {
        const double n = examples_[at(task) * n_folds_ + at(fold)];
        loss += n * losses[i * n_folds_ + at(fold)];
        examples += n;
      }
      if (!(examples > 0) || objective_.weight(task) == 0) continue;
      const double cost = objective_.cost(task, loss / examples);
      sum += objective_.weight(task) * cost;
      total += objective_.weight(task);
      worst = std::max(worst, cost);
    }
    if (!(total > 0)) return 0;
    return objective_.kind() == ObjectiveKind::worst ? worst : sum / total;
  }

  RecipeOracle& oracle_;
  const Objective& objective_;
  const RefineOptions& options_;
  std::size_t n_folds_;
  std::vector<double> examples_;  // [n_tasks, n_folds]
  FoldSet choose_;
  FoldSet others_;
  std::map<Recipe, std::vector<double>> losses_;  // [members, n_folds]
  std::int64_t measured_ = 0;                     // since the last stage
  std::vector<RefineStage> stages_;
};

}  // namespace

std::string_view name(RefineStep step) {
  static constexpr std::array<std::string_view, 4> names = {"start", "method", "scale", "weights"};
  return names[static_cast<std::size_t>(step)];
}

std::vector<RefineStage> refine(RecipeOracle& oracle, const FoldSplit& folds,
                                const Objective& objective, const std::vector<Recipe>& start,
                                const RefineOptions& options) {
  return Refiner(oracle, folds, objective, options).run(start);
}

}  // namespace d2c::cluster
