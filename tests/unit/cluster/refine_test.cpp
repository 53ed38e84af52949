#include "d2c/cluster/refine.hpp"

#include <cmath>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "synthetic.hpp"

namespace d2c::cluster {
namespace {

using testing::ElementsAre;
using testing::Pointwise;

/// Any function of a merge configuration, a task and a fold; fails the test when it is asked twice.
class FunctionConfigs : public MergeConfigOracle {
 public:
  using Loss = std::function<double(const MergeConfig&, TaskId task, int fold)>;
  FunctionConfigs(int n_folds, Loss loss) : n_folds_(n_folds), loss_(std::move(loss)) {}

  [[nodiscard]] int n_folds() const override { return n_folds_; }
  [[nodiscard]] std::vector<double> losses(std::span<const MergeConfig> configs,
                                           std::span<const Query> queries) override {
    ++calls;
    std::vector<double> values;
    for (const Query& query : queries) {
      const MergeConfig& config = configs[query.set];
      EXPECT_TRUE(asked_.insert({config, query.task}).second) << "an entry is asked for twice";
      for (int fold = 0; fold < n_folds_; ++fold) values.push_back(loss_(config, query.task, fold));
    }
    return values;
  }
  [[nodiscard]] std::int64_t measured() const { return static_cast<std::int64_t>(asked_.size()); }
  int calls = 0;

 private:
  int n_folds_;
  Loss loss_;
  std::set<std::pair<MergeConfig, TaskId>> asked_;
};

/// Points whose merge is the weighted mean, `shrink` times too short: the best scale is 1 / shrink.
/// Method m adds `penalty[m]`.
struct Shrunk {
  Points points;
  double shrink = 1.0;
  std::vector<double> penalty = {0.0};

  [[nodiscard]] double loss(const MergeConfig& config, TaskId task) const {
    const std::vector<double>& x = points.x[task];
    double squared = 0;
    for (std::size_t d = 0; d < x.size(); ++d) {
      double merged = 0;
      for (std::size_t i = 0; i < config.members.size(); ++i) {
        const double weight = config.weights.empty()
                                  ? 1.0 / static_cast<double>(config.members.size())
                                  : config.weights[i];
        merged += weight * points.x[config.members[i]][d];
      }
      squared += std::pow(x[d] - shrink * config.scale * merged, 2);
    }
    return squared + penalty[static_cast<std::size_t>(config.method)];
  }
};

FoldSplit two_folds(int n_tasks, std::vector<FoldId> choose = {0, 1}) {
  return {std::move(choose), {n_tasks, 2, 5.0}};
}

Shrunk shrunk(double shrink) {
  Shrunk world{{{{3, 1}, {3, -1}, {4, 0}, {-2, 5}, {-2, 6}, {-3, 5}}, std::vector<double>(6, 0.0)},
               shrink,
               {0.0}};
  return world;
}

const IdVector<ClusterId, MergeConfig> two_clusters = {{.members = {0, 1, 2}},
                                                       {.members = {3, 4, 5}}};

std::vector<RefineStage> refined(FunctionConfigs& oracle, const RefineOptions& options,
                                 const FoldSplit& folds,
                                 const IdVector<TaskId, double>& weights = {}) {
  const Objective objective(ObjectiveKind::loss, 6, weights);
  return refine(oracle, folds, objective, two_clusters, options);
}

TEST(Refine, FindsTheBestScaleToThreePercent) {
  for (const double shrink : {0.25, 0.45, 0.7, 1.0, 1.5}) {
    const Shrunk world = shrunk(shrink);
    FunctionConfigs oracle(
        2, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
    const auto stages = refined(oracle, {.scale = true}, two_folds(6));
    ASSERT_EQ(stages.size(), 2U);
    for (const MergeConfig& config : stages.back().configs)
      EXPECT_NEAR(std::log(config.scale * shrink), 0, shrink < 0.3 ? 0.2 : 0.1) << shrink;
    EXPECT_EQ(stages.back().step, RefineStep::scale);
  }
}

TEST(Refine, MemberWeightsApproachThoseOfTheTasks) {
  // The mean of the losses weighted by task is least at the mean of the points weighted alike.
  const Shrunk world = shrunk(1.0);
  const IdVector<TaskId, double> weights = {4, 1, 1, 1, 1, 6};
  FunctionConfigs oracle(
      2, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  const auto stages = refined(oracle, {.weights = true}, two_folds(6), weights);
  const auto value = [&](const MergeConfig& config) {
    double sum = 0;
    double total = 0;
    for (const TaskId task : config.members) {
      sum += weights[task] * world.loss(config, task);
      total += weights[task];
    }
    return sum / total;
  };
  for (const ClusterId k : two_clusters.ids()) {
    MergeConfig best = two_clusters[k];
    double total = 0;
    for (const TaskId task : best.members) total += weights[task];
    for (const TaskId task : best.members) best.weights.push_back(weights[task] / total);
    const double won = value(two_clusters[k]) - value(stages.back().configs[k]);
    EXPECT_GT(won, 0.9 * (value(two_clusters[k]) - value(best)));
    double sum = 0;
    for (const double weight : stages.back().configs[k].weights) sum += weight;
    EXPECT_NEAR(sum, 1, 1e-12);
  }
}

TEST(Refine, TakesTheBestMethodAndOnTiesThePresentOne) {
  Shrunk world = shrunk(1.0);
  world.penalty = {0.5, 0.5, 0.25, 0.75};
  FunctionConfigs oracle(
      2, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  const auto stages = refined(oracle, {.n_methods = 4}, two_folds(6));
  for (const MergeConfig& config : stages.back().configs) EXPECT_EQ(config.method, 2);
  EXPECT_EQ(stages.back().changed, 2);

  world.penalty = {0.5, 0.5};
  FunctionConfigs tied(2,
                       [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  EXPECT_EQ(refined(tied, {.n_methods = 2}, two_folds(6)).back().changed, 0);
}

TEST(Refine, KeepsNoChoiceThatOneFoldAloneWouldMake) {
  // Larger scales help fold 0 by much and harm fold 1 by a little less: in sum they look good.
  FunctionConfigs oracle(2, [](const MergeConfig& r, TaskId, int fold) {
    const double d = std::log(r.scale);
    return fold == 0 ? 3.0 - 2 * d : 3.0 + 1.5 * d;
  });
  const auto stages = refined(oracle, {.scale = true}, two_folds(6));
  EXPECT_EQ(stages.back().changed, 0);
  EXPECT_EQ(stages.back().configs, two_clusters);
}

TEST(Refine, FoldsThatWereNotChosenByHaveAVeto) {
  for (const double harm : {-0.5, 0.5}) {
    FunctionConfigs oracle(2, [harm](const MergeConfig& r, TaskId, int fold) {
      const double d = std::log(r.scale);
      return fold == 0 ? 3.0 - d : 3.0 + harm * d;
    });
    const auto stages = refined(oracle, {.scale = true}, two_folds(6, {0}));
    EXPECT_EQ(stages.back().changed, harm > 0 ? 0 : 2);
  }
}

TEST(Refine, NeverRaisesTheObjectiveAndMeasuresNothingTwice) {
  Shrunk world = shrunk(0.6);
  world.penalty = {0.2, 0.1, 0.4};
  FunctionConfigs oracle(2, [&](const MergeConfig& r, TaskId task, int fold) {
    return world.loss(r, task) + 0.1 * fold;
  });
  const auto stages =
      refined(oracle, {.n_methods = 3, .scale = true, .weights = true}, two_folds(6));
  ASSERT_EQ(stages.size(), 4U);
  std::int64_t evaluations = 0;
  double before = std::numeric_limits<double>::infinity();
  for (const RefineStage& stage : stages) {
    double sum = 0;
    for (const MergeConfig& config : stage.configs)
      for (const TaskId task : config.members) sum += world.loss(config, task);
    EXPECT_LE(sum, before);
    before = sum;
    evaluations += stage.evaluations;
  }
  EXPECT_EQ(evaluations, oracle.measured());
  EXPECT_LT(oracle.calls, 25);  // rounds, not clusters times candidates
}

TEST(Refine, WhatIsNotAskedForStays) {
  const Shrunk world = shrunk(0.5);
  FunctionConfigs oracle(
      1, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  const auto stages = refined(oracle, {}, {{0}, {6, 1, 10.0}});
  ASSERT_EQ(stages.size(), 1U);
  EXPECT_EQ(stages.front().configs, two_clusters);
}

TEST(Refine, ALoneMemberHasNoWeightsToChoose) {
  const Shrunk world = shrunk(1.0);
  FunctionConfigs oracle(
      2, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  const Objective objective(ObjectiveKind::loss, 6);
  const auto stages =
      refine(oracle, two_folds(6), objective, {{.members = {4}}}, {.weights = true});
  EXPECT_EQ(stages.back().changed, 0);
  EXPECT_EQ(oracle.measured(), 1);
}

TEST(Refine, ForTheWorstTaskTheLargestCostCounts) {
  // Task 0 of a cluster grows with the scale, the others fall: only the mean would follow them.
  FunctionConfigs oracle(2, [](const MergeConfig& r, TaskId task, int) {
    return task == 0 || task == 3 ? 5.0 + 0.1 * std::log(r.scale) : 1.0 - std::log(r.scale);
  });
  const Objective worst(ObjectiveKind::worst, 6, {},
                        {std::vector<double>(6, 9.0), std::vector<double>(6, 0.0)});
  const auto stages = refine(oracle, two_folds(6), worst, two_clusters, {.scale = true});
  for (const MergeConfig& config : stages.back().configs) EXPECT_LT(config.scale, 1.0);
}

double objective_of(const IdVector<ClusterId, MergeConfig>& configs, const Objective& objective,
                    const std::function<double(const MergeConfig&, TaskId)>& loss) {
  IdVector<TaskId, double> losses(objective.n_tasks());
  for (const MergeConfig& config : configs)
    for (const TaskId task : config.members) losses[task] = loss(config, task);
  return objective.score(losses).value;
}

TEST(Refine, TasksMoveToTheClusterThatServesThemBestAfterRefinement) {
  const Shrunk world = shrunk(0.6);
  FunctionConfigs oracle(
      2, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  const Objective objective(ObjectiveKind::loss, 6);
  const IdVector<ClusterId, MergeConfig> start = {{.members = {0, 1, 5}}, {.members = {2, 3, 4}}};
  const auto stays = refine(oracle, two_folds(6), objective, start, {.scale = true});
  FunctionConfigs again(
      2, [&](const MergeConfig& r, TaskId task, int) { return world.loss(r, task); });
  const auto moves = refine(again, two_folds(6), objective, start, {.scale = true, .rounds = 3});
  EXPECT_THAT(numbers_of(moves.back().configs[0].members), ElementsAre(0, 1, 2));
  EXPECT_THAT(numbers_of(moves.back().configs[1].members), ElementsAre(3, 4, 5));
  // Clusters that changed are refined again, until nothing moves.
  std::vector<RefineStep> steps;
  for (const RefineStage& stage : moves) steps.push_back(stage.step);
  EXPECT_THAT(steps, ElementsAre(RefineStep::start, RefineStep::scale, RefineStep::assign,
                                 RefineStep::scale, RefineStep::assign));
  EXPECT_EQ(moves[2].changed, 2);
  EXPECT_EQ(moves.back().changed, 0);
  const auto loss = [&](const MergeConfig& r, TaskId task) { return world.loss(r, task); };
  EXPECT_LT(objective_of(moves.back().configs, objective, loss),
            0.5 * objective_of(stays.back().configs, objective, loss));
}

TEST(Refine, MovesNeverRaiseAnyObjectiveAndObeyConstraints) {
  int moved = 0;
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    const int n = 14;
    const Points points = random_points(n, 3, 4, 0.6, seed);
    const Shrunk world{points, 0.7, {0.0}};
    const auto loss = [&](const MergeConfig& r, TaskId task) {
      return world.loss(r, task) + points.floor[task];
    };
    RefineOptions options{.scale = seed % 2 == 0, .weights = seed % 3 == 0, .rounds = 3};
    if (seed % 4 == 1) options.constraints = {.min_size = 3, .max_size = 7};
    if (seed % 4 == 3) options.constraints = {.together = {{0, 3}, {1, 4}}, .apart = {{0, 1}}};
    IdVector<ClusterId, MergeConfig> start(3);
    // Every third task: 0 and 3 together, 1 and 4 together, 0 and 1 apart.
    for (const TaskId task : ids<TaskId>(n))
      start[ClusterId(task.value() % 3)].members.push_back(task);
    for (const auto kind : {ObjectiveKind::loss, ObjectiveKind::gain, ObjectiveKind::worst}) {
      const Objective objective(kind, n, {}, {points.base(), points.floor});
      FunctionConfigs oracle(2, [&](const MergeConfig& r, TaskId task, int fold) {
        return loss(r, task) +
               0.01 * fold * std::sin(seed + 3.0 * task.value() + r.members[0].value());
      });
      // Judged by fold 0 alone, which has the loss above; fold 1 has a veto.
      const auto stages = refine(oracle, two_folds(n, {0}), objective, start, options);
      double before = std::numeric_limits<double>::infinity();
      for (const RefineStage& stage : stages) {
        const double now = objective_of(stage.configs, objective, loss);
        // For `worst`, a refined cluster other than the worst changes nothing.
        EXPECT_LE(now, before + 1e-12) << seed;
        before = now;
        IdVector<TaskId, ClusterId> cluster_of(n, ClusterId::none());
        for (const ClusterId k : stage.configs.ids()) {
          const MergeConfig& config = stage.configs[k];
          ASSERT_FALSE(config.members.empty());
          EXPECT_TRUE(std::is_sorted(config.members.begin(), config.members.end()));
          for (const TaskId task : config.members) {
            EXPECT_EQ(cluster_of[task], ClusterId::none());
            cluster_of[task] = k;
          }
          EXPECT_GE(static_cast<int>(config.members.size()), options.constraints.min_size);
          if (options.constraints.max_size > 0) {
            EXPECT_LE(static_cast<int>(config.members.size()), options.constraints.max_size);
          }
          double sum = 0;
          for (const double weight : config.weights) sum += weight;
          EXPECT_NEAR(sum, config.weights.empty() ? 0 : 1, 1e-12);
        }
        EXPECT_EQ(std::count(cluster_of.begin(), cluster_of.end(), ClusterId::none()), 0);
        for (const auto& [a, b] : options.constraints.together)
          EXPECT_EQ(cluster_of[a], cluster_of[b]);
        for (const auto& [a, b] : options.constraints.apart)
          EXPECT_NE(cluster_of[a], cluster_of[b]);
        if (stage.step == RefineStep::assign) moved += stage.changed;
      }
    }
  }
  EXPECT_GT(moved, 100);
}

TEST(Refine, NoTaskMovesThatOneFoldAloneWouldMove) {
  // Task 2 is better off in the other cluster by fold 0 only.
  const Shrunk world = shrunk(1.0);
  for (const bool both : {false, true}) {
    FunctionConfigs oracle(2, [&](const MergeConfig& r, TaskId task, int fold) {
      if (task != 2 || r.members.size() == 1) return world.loss(r, task);
      const bool with_others = r.members.back() > 2;
      return with_others == (both || fold == 0) ? 0.0 : 200.0;
    });
    const auto stages = refined(oracle, {.rounds = 1}, two_folds(6));
    EXPECT_EQ(stages.back().changed, both ? 1 : 0);
  }
}

}  // namespace
}  // namespace d2c::cluster
