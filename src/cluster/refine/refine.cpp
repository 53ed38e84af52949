#include "d2c/cluster/refine.hpp"

#include <array>
#include <utility>

#include "partition/rules.hpp"
#include "refine/config_losses.hpp"
#include "refine/config_search.hpp"
#include "refine/reassign.hpp"

namespace d2c::cluster {
namespace {

class Refiner {
 public:
  Refiner(MergeConfigOracle& oracle, const FoldSplit& folds, const Objective& objective,
          const RefineOptions& options, const IdVector<ClusterId, MergeConfig>& start)
      : losses_(oracle, folds, objective),
        options_(options),
        rules_(options.constraints, objective.n_tasks(), start.n()),
        is_new_(start.n(), 1) {
    losses_.measure_members(start);
    stages_.push_back({RefineStep::start, start, 0, losses_.take_measured()});
  }

  std::vector<RefineStage> run() {
    if (options_.n_methods > 1 && !stopped()) take(RefineStep::method);
    take_scale_and_weights();
    for (int round = 0; round < options_.rounds && !stopped() && take_assign(); ++round)
      take_scale_and_weights();
    return std::move(stages_);
  }

 private:
  /// One search of one cluster, judged by some folds.
  struct Trial {
    FoldSet folds;
    std::unique_ptr<ConfigSearch> search;
  };

  [[nodiscard]] std::unique_ptr<ConfigSearch> search(RefineStep step, const MergeConfig& start,
                                                     const FoldSet& folds) const {
    const double now = value(start, folds);
    if (step == RefineStep::method)
      return method_search(start, now, options_.n_methods, options_.scale);
    return step == RefineStep::scale ? scale_search(start, now) : weight_search(start, now);
  }

  [[nodiscard]] bool stopped() const { return options_.stop && options_.stop(); }

  void take_scale_and_weights() {
    if (options_.scale && !stopped()) take(RefineStep::scale);
    if (options_.weights && !stopped()) take(RefineStep::weights);
  }

  /// For the clusters whose members are new to it.
  void take(RefineStep step) {
    RefineStage stage{step, stages_.back().configs, 0, 0};
    // Per cluster: the search by all folds, then those that lack one fold each.
    IdVector<ClusterId, std::vector<Trial>> trials(stage.configs.n());
    for (const ClusterId k : trials.ids()) {
      if (!is_new_[k]) continue;
      const MergeConfig& start = stage.configs[k];
      trials[k].push_back({losses_.choose(), search(step, start, losses_.choose())});
      if (!losses_.cross_validates()) continue;
      for (const FoldId left_out : losses_.choose()) {
        FoldSet rest = losses_.choose();
        std::erase(rest, left_out);
        trials[k].push_back({rest, search(step, start, rest)});
      }
    }
    run_together(trials);
    for (const ClusterId k : trials.ids()) {
      if (!is_new_[k]) continue;
      const MergeConfig& found = trials[k].front().search->best();
      if (found == stage.configs[k] || !is_confirmed(trials[k], stage.configs[k])) continue;
      stage.configs[k] = found;
      ++stage.changed;
    }
    stage.evaluations = losses_.take_measured();
    stages_.push_back(std::move(stage));
  }

  /// @return  whether a task moved
  bool take_assign() {
    RefineStage stage{RefineStep::assign, stages_.back().configs, 0, 0};
    stage.changed = reassign(losses_, rules_, stage.configs);
    stage.evaluations = losses_.take_measured();
    for (const ClusterId k : is_new_.ids())
      is_new_[k] = stage.configs[k].members != stages_.back().configs[k].members ? 1 : 0;
    stages_.push_back(std::move(stage));
    return stages_.back().changed > 0;
  }

  void run_together(IdVector<ClusterId, std::vector<Trial>>& trials) {
    for (;;) {
      std::vector<std::pair<Trial*, std::vector<MergeConfig>>> proposals;
      std::vector<MergeConfig> all;
      for (auto& of_cluster : trials)
        for (Trial& trial : of_cluster) {
          std::vector<MergeConfig> configs = trial.search->propose();
          if (configs.empty()) continue;
          all.insert(all.end(), configs.begin(), configs.end());
          proposals.emplace_back(&trial, std::move(configs));
        }
      if (proposals.empty()) return;
      losses_.measure_members(all);
      for (auto& [trial, configs] : proposals) {
        std::vector<double> values;
        for (const MergeConfig& config : configs) values.push_back(value(config, trial->folds));
        trial->search->judge(configs, values);
      }
    }
  }

  [[nodiscard]] bool is_confirmed(const std::vector<Trial>& trials,
                                  const MergeConfig& start) const {
    if (!losses_.others().empty())
      return value(trials.front().search->best(), losses_.others()) <=
             value(start, losses_.others());
    if (!losses_.cross_validates()) return true;
    double with = 0;
    double without = 0;
    for (std::size_t i = 0; i < losses_.choose().size(); ++i) {
      const FoldSet left_out = {losses_.choose()[i]};
      with += value(trials[i + 1].search->best(), left_out);
      without += value(start, left_out);
    }
    return with < without;
  }

  [[nodiscard]] double value(const MergeConfig& config, const FoldSet& folds) const {
    return losses_.score(std::span(&config, 1), folds).value;
  }

  ConfigLosses losses_;
  const RefineOptions& options_;
  Rules rules_;
  IdVector<ClusterId, char> is_new_;  ///< clusters whose members changed since they were refined
  std::vector<RefineStage> stages_;
};

}  // namespace

std::string_view name(RefineStep step) {
  static constexpr std::array<std::string_view, 6> names = {"start",   "method", "scale",
                                                            "weights", "assign", "distill"};
  return names[static_cast<std::size_t>(step)];
}

std::vector<RefineStage> refine(MergeConfigOracle& oracle, const FoldSplit& folds,
                                const Objective& objective,
                                const IdVector<ClusterId, MergeConfig>& start,
                                const RefineOptions& options) {
  return Refiner(oracle, folds, objective, options, start).run();
}

}  // namespace d2c::cluster
