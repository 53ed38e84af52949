#include <algorithm>
#include <cmath>
#include <limits>
#include <list>
#include <numeric>

#include <gtest/gtest.h>

#include "d2c/cluster/cached_oracle.hpp"
#include "d2c/core/json.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/eval/model_folder.hpp"

#include "engine/distributed_oracle.hpp"
#include "fake_engine.hpp"
#include "test_support.hpp"

namespace d2c::job {
namespace {

using cluster::Query;
using cluster::TaskSet;

/// The oracle of one rank over some bundled tasks, with an engine that computes nothing.
class Oracle : public testing::Test {
 protected:
  static constexpr int n_tasks = 5;

  Oracle() {
    const auto demo = test::source("data/demo");
    manifest_ = eval::read_manifest(demo);
    manifest_.tasks.resize(n_tasks);
    const eval::ModelFolder model = eval::load_model_folder(manifest_.model);
    std::vector<std::filesystem::path> folders;
    for (const eval::TaskSpec& task : manifest_.tasks) folders.push_back(task.adapter);
    adapters_ = std::make_unique<AdapterStore>(*comm_, open_folders(*comm_, folders),
                                               std::vector<int>(n_tasks, 0),
                                               model.model.target_modules(), manifest_.model);
    // Batches of few tokens, so that a task has several.
    tasks_ = std::make_unique<TaskStore>(*comm_, manifest_, model.encoding(), model.limits(),
                                         PackOptions{.max_tokens = 60}, 0);
    std::iota(adapter_of_task_.begin(), adapter_of_task_.end(), AdapterId(0));
  }

  [[nodiscard]] DistributedOracle oracle(eval::LossEngine& engine, cluster::ExampleFolds folds,
                                         const MachineOptions& machine = {}) {
    MergePlan plan;
    plan.method = &merge::find_method("average");
    return {{{*comm_, *adapters_, *tasks_, adapter_of_task_, engine, timers_},
             known_.emplace_back(),
             pause_},
            plan,
            folds,
            machine};
  }

  /// What the engine says of each fold.
  [[nodiscard]] std::vector<double> expected(const lora::FactorMap& factors, TaskId task,
                                             Split split, cluster::ExampleFolds folds) const {
    const auto examples = tasks_->examples(task, split);
    const std::vector<FoldId> fold_of = folds.of(std::ssize(examples));
    std::vector<double> sums(static_cast<std::size_t>(folds.n_folds()));
    std::vector<double> counts(sums.size());
    for (std::size_t e = 0; e < examples.size(); ++e) {
      const std::size_t fold = fold_of[e].index();
      sums[fold] += test::FakeEngine::loss(factors, examples[e]);
      counts[fold] += 1;
    }
    for (std::size_t fold = 0; fold < sums.size(); ++fold) sums[fold] /= counts[fold];
    return sums;
  }

  std::unique_ptr<comm::Communicator> comm_ = comm::make_null_communicator();
  eval::Manifest manifest_;
  std::unique_ptr<AdapterStore> adapters_;
  std::unique_ptr<TaskStore> tasks_;
  IdVector<TaskId, AdapterId> adapter_of_task_ = IdVector<TaskId, AdapterId>(n_tasks);
  PhaseTimers timers_;
  std::list<KnownLosses> known_;  ///< of each oracle
  std::function<void()> pause_ = [] {};
};

TEST_F(Oracle, RefusesAdaptersOfARankThatTwoBytesDoNotHold) {
  const test::TempFolder folder;
  const std::vector<lora::TargetModule> modules =
      eval::load_model_folder(manifest_.model).model.target_modules();
  const auto module = std::ranges::find_if(
      modules, [](const auto& target) { return target.name.ends_with("q_proj"); });
  ASSERT_NE(module, modules.end());
  const lora::Factors factors{Matrix(65536, module->d_in), Matrix(module->d_out, 65536), 1.0};
  lora::write_adapter(folder / "large", {{module->name, factors}}, {});
  D2C_EXPECT_ERROR(AdapterStore(*comm_, open_folders(*comm_, {folder / "large"}), std::vector{0},
                                modules, manifest_.model),
                   comm::AgreedError, module->name, "has rank 65536")
}

TEST_F(Oracle, GivesWhatTheEngineMeasuresInEachFold) {
  const cluster::ExampleFolds folds{.choose = 2, .verify = 3};
  for (const std::size_t units_at_a_time : {1, 4, 1000}) {
    test::FakeEngine engine(units_at_a_time);
    auto oracle = this->oracle(engine, folds);
    const auto base = oracle.base_losses(Split::few_shot);
    const auto own = oracle.own_losses(Split::held_out);
    ASSERT_EQ(base.size(), 3U * n_tasks);
    ASSERT_EQ(own.size(), 1U * n_tasks);
    for (const TaskId task : tasks_->ids()) {
      const auto of_task = base.begin() + std::ptrdiff_t{3} * task.value();
      EXPECT_EQ((std::vector<double>{of_task, of_task + 3}),
                expected({}, task, Split::few_shot, folds));
      EXPECT_EQ(
          own[task.index()],
          expected(adapters_->local(adapter_of_task_[task]), task, Split::held_out, {}).front());
    }
  }
}

TEST_F(Oracle, NamesTheTaskWhoseLossIsNotFinite) {
  test::FakeEngine engine;
  engine.factor = std::numeric_limits<double>::infinity();
  auto oracle = this->oracle(engine, {});
  const std::string says = "the loss of task '" + manifest_.tasks[0].name + "' is not finite";
  D2C_EXPECT_ERROR((void)oracle.base_losses(Split::few_shot), comm::AgreedError, says)
}

TEST_F(Oracle, MayBeStoppedWithinAListAndKnowsWhatItMeasured) {
  struct Stop {};
  int n_pauses = 0;
  pause_ = [&] {
    if (++n_pauses == 3) throw Stop();
  };
  test::FakeEngine engine;
  auto oracle = this->oracle(engine, {});
  EXPECT_THROW((void)oracle.base_losses(Split::few_shot), Stop);
  ASSERT_EQ(known_.back().table().size(), 1U);
  EXPECT_EQ(known_.back().table().begin()->second.tasks.size(), 2U);
}

TEST_F(Oracle, MergesAsManySetsAtATimeAsFit) {
  const std::vector<TaskSet> sets{{0, 1}, {2}, {1, 3, 4}};
  std::vector<Query> queries;
  for (std::size_t set = 0; set < 3; ++set) {
    for (const TaskId task : ids<TaskId>(n_tasks)) queries.push_back({set, task});
  }
  test::FakeEngine engine(7);
  auto all = oracle(engine, {});
  const auto losses = all.losses(sets, queries);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const auto merged = all.merged(all.request_for(sets[queries[q].set]));
    EXPECT_EQ(losses[q], expected(merged, queries[q].task, Split::few_shot, {}).front());
  }
  EXPECT_EQ(all.work().units, std::ssize(queries));
  auto one_by_one = oracle(engine, {}, {.merged_bytes = 1});
  EXPECT_EQ(one_by_one.losses(sets, queries), losses);
}

TEST_F(Oracle, PreparesTheAdaptersOfAListOnce) {
  test::FakeEngine engine(3);
  auto oracle = this->oracle(engine, {});
  const std::vector<TaskSet> sets{{0, 1}, {2, 3}};
  std::vector<Query> queries;
  for (const TaskId task : ids<TaskId>(n_tasks)) {
    for (std::size_t set = 0; set < 2; ++set) queries.push_back({set, task});
  }
  static_cast<void>(oracle.losses(sets, queries));
  EXPECT_EQ(engine.n_prepared, 2);
}

TEST_F(Oracle, TellsApartWhatWasTrainedFromOneMergeForOtherTasks) {
  test::FakeEngine engine(3);
  auto oracle = this->oracle(engine, {});
  const MergeRequest start{{0}, {1.0}};
  const std::vector<DistillCluster> clusters{{start, {0}, {1.0}}, {start, {1}, {1.0}}};
  const Distilled distilled =
      oracle.distill(clusters, {.material = {.steps = 2}}, [] { return false; });
  std::vector<MergeRequest> requests(2, start);
  for (std::size_t c = 0; c < 2; ++c) requests[c].trained = distilled.adapters[c];
  const std::vector<Query> queries{{0, 2}, {1, 2}};
  const auto losses = oracle.losses(requests, queries, Split::few_shot);
  for (std::size_t c = 0; c < 2; ++c) {
    const auto merged = oracle.merged(requests[c]);
    EXPECT_EQ(losses[c], expected(merged, 2, Split::few_shot, {}).front());
  }
  EXPECT_NE(losses[0], losses[1]);
}

TEST_F(Oracle, TheMedoidHasTheLowestMeanLoss) {
  MergePlan plan;
  plan.method = &merge::find_method("cat");
  plan.representative = Representative::medoid;
  test::FakeEngine engine(5);
  DistributedOracle oracle({{*comm_, *adapters_, *tasks_, adapter_of_task_, engine, timers_},
                            known_.emplace_back(),
                            pause_},
                           plan, {.choose = 3, .verify = 2}, {});
  const std::vector<TaskSet> sets{{0, 2, 3}, {1, 4}};
  oracle.choose_representatives(sets);
  for (const TaskSet& set : sets) {
    const AdapterId medoid = oracle.request_for(set).adapters.front();
    const auto sum_under = [&](AdapterId adapter) {
      double sum = 0.0;
      for (const TaskId task : set) {
        const auto examples = tasks_->examples(task, Split::few_shot);
        const auto fold_of = oracle.folds().of(std::ssize(examples));
        double of_task = 0.0;
        double n = 0.0;
        for (std::size_t e = 0; e < examples.size(); ++e) {
          if (fold_of[e] == FoldId(3)) continue;
          of_task += test::FakeEngine::loss(oracle.merged({{adapter}, {1.0}}), examples[e]);
          n += 1.0;
        }
        sum += of_task / n;
      }
      return sum;
    };
    for (const TaskId other : set)
      EXPECT_LE(sum_under(medoid), sum_under(adapter_of_task_[other]) + 1e-9);
  }
}

}  // namespace
}  // namespace d2c::job
