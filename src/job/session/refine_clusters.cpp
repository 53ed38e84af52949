#include "session/refine_clusters.hpp"

namespace d2c::job {
namespace {

/// Losses of merge configurations by the merges of a job.
class DistributedConfigs final : public cluster::MergeConfigOracle {
 public:
  DistributedConfigs(DistributedOracle& oracle, cluster::ExampleFolds folds)
      : oracle_(oracle), folds_(folds) {}

  [[nodiscard]] int n_folds() const override { return folds_.n_folds(); }
  [[nodiscard]] std::vector<double> losses(std::span<const cluster::MergeConfig> configs,
                                           std::span<const cluster::Query> queries) override {
    return oracle_.losses(oracle_.requests_for(configs), queries, Split::few_shot, folds_);
  }

 private:
  DistributedOracle& oracle_;
  cluster::ExampleFolds folds_;
};

}  // namespace

cluster::RefineOptions refine_options(MethodLosses& losses) {
  return {.n_methods = 1 + static_cast<int>(losses.oracle().plan().others.size()),
          .scale = losses.options().tune_scale,
          .weights = losses.options().tune_weights,
          .constraints = losses.input().constraints};
}

bool refines(const cluster::RefineOptions& options) {
  return options.n_methods > 1 || options.scale || options.weights;
}

std::vector<cluster::RefineStage> refine_clusters(MethodLosses& losses,
                                                  const std::vector<cluster::MergeConfig>& start,
                                                  const cluster::RefineOptions& options) {
  const cluster::ExampleFolds folds{.choose = 2, .verify = losses.options().verify_examples};
  DistributedConfigs configs(losses.oracle(), folds);
  return cluster::refine(configs, folds.split(losses.examples_per_task()), losses.objective(),
                         start, options);
}

}  // namespace d2c::job
