#include "refine_clusters.hpp"

#include "measure.hpp"

namespace d2c::job {
namespace {

/// Losses of recipes by the merges of a job.
class DistributedRecipes final : public cluster::RecipeOracle {
 public:
  DistributedRecipes(DistributedOracle& oracle, cluster::ExampleFolds folds)
      : oracle_(oracle), folds_(folds) {}

  [[nodiscard]] int n_folds() const override { return folds_.n_folds(); }
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::Recipe> recipes,
                                           std::span<const cluster::Query> queries) override {
    return oracle_.losses(oracle_.requests_for(recipes), queries, Split::few_shot, folds_);
  }

 private:
  DistributedOracle& oracle_;
  cluster::ExampleFolds folds_;
};

}  // namespace

cluster::RefineOptions refine_options(const RunOptions& options, const MergePlan& plan,
                                      const Job& job) {
  constexpr int rounds = 3;
  return {.n_methods = 1 + static_cast<int>(plan.others.size()),
          .scale = options.tune_scale,
          .weights = options.tune_weights,
          .rounds = rounds,
          .constraints = job.constraints};
}

bool refines(const cluster::RefineOptions& options) {
  return options.n_methods > 1 || options.scale || options.weights;
}

std::vector<cluster::Recipe> recipes_of(const cluster::Partition& partition,
                                        const MergePlan& plan) {
  std::vector<cluster::Recipe> recipes;
  for (cluster::TaskSet& members : partition.clusters()) {
    if (members.empty()) continue;
    recipes.push_back({.members = std::move(members), .scale = plan.scale});
  }
  return recipes;
}

cluster::Partition partition_of(const std::vector<cluster::Recipe>& recipes, int n_tasks, int k) {
  cluster::Assignment assignment(static_cast<std::size_t>(n_tasks));
  for (std::size_t r = 0; r < recipes.size(); ++r) {
    for (const int task : recipes[r].members) {
      assignment[static_cast<std::size_t>(task)] = static_cast<int>(r);
    }
  }
  return cluster::Partition(std::move(assignment), k).canonical();
}

std::vector<cluster::RefineStage> refine_clusters(DistributedOracle& oracle, const Job& job,
                                                  const cluster::Objective& objective,
                                                  const std::vector<cluster::Recipe>& start,
                                                  const cluster::RefineOptions& options) {
  const cluster::ExampleFolds folds{.choose = 2, .verify = oracle.folds().verify};
  DistributedRecipes recipes(oracle, folds);
  return cluster::refine(recipes, folds.split(examples_per_task(*job.tasks, Split::few_shot)),
                         objective, start, options);
}

}  // namespace d2c::job
