#include "distill/distill.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "d2c/eval/manifest.hpp"
#include "d2c/eval/model_folder.hpp"

#include "distill/gradient_rounds.hpp"
#include "distill/trainer.hpp"
#include "distill/training_file.hpp"
#include "fake_engine.hpp"
#include "lessons/answers.hpp"
#include "lessons/lessons.hpp"
#include "test_support.hpp"

namespace d2c::job {
namespace {

TEST(LearningPlan, SharesTheTasksOfARoundByCostWithinTheCap) {
  std::vector<LearningTask> tasks(7);
  for (int i = 0; i < 7; ++i) tasks[static_cast<std::size_t>(i)] = {i / 4, TaskId(i), 0};
  const std::vector<double> costs{5, 1, 1, 1, 1, 1, 1};
  const std::vector<std::uint64_t> bytes(7, 100);
  const LearningPlan whole = plan_learning(tasks, costs, bytes, 2, 1000);
  EXPECT_EQ(whole.rounds, (std::vector<std::size_t>{0, 7}));
  for (std::size_t i = 0; i < 7; ++i) EXPECT_EQ(whole.tasks[i].rank, i == 0 || i == 6 ? 0 : 1);
  const LearningPlan small = plan_learning(tasks, costs, bytes, 2, 150);
  EXPECT_EQ(small.rounds, (std::vector<std::size_t>{0, 3, 6, 7}));
  const LearningPlan least = plan_learning(tasks, costs, bytes, 2, 1);
  EXPECT_EQ(least.rounds, (std::vector<std::size_t>{0, 2, 4, 6, 7}));
  EXPECT_EQ(plan_learning({}, {}, {}, 2, 1).rounds, (std::vector<std::size_t>{0}));
}

TEST(LearningPlan, CutsRoundsByWhatOneRankGets) {
  IdVector<ModuleId, lora::TargetModule> modules;
  for (const char* name : {"a", "b", "c"}) modules.push_back({name, 4, 6});
  // 40 bytes for each rank of the factors: rank 0 gets 40 of the first, rank 1 160 of the second.
  const TrainedAdapter even{{}, {}, {{ModuleId(0), 0, 1}, {ModuleId(1), 1, 1}}, {}};
  const TrainedAdapter uneven{
      {}, {}, {{ModuleId(0), 0, 1}, {ModuleId(1), 1, 1}, {ModuleId(2), 1, 3}}, {}};
  const std::vector<const TrainedAdapter*> adapters{&even, &uneven};
  const std::vector<LearningTask> round{{0, 0, 0}, {0, 1, 1}, {0, 2, 2}, {1, 3, 3}, {1, 4, 4}};
  using Begin = std::vector<std::size_t>;
  EXPECT_EQ(cut_round(adapters, modules, round, 1000), (Begin{0, 5}));
  EXPECT_EQ(cut_round(adapters, modules, round, 200), (Begin{0, 3, 4, 5}));
  EXPECT_EQ(cut_round(adapters, modules, round, 80), (Begin{0, 2, 3, 4, 5}));
  EXPECT_EQ(cut_round(adapters, modules, round, 0), (Begin{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(cut_round(adapters, modules, {}, 0), (Begin{0}));
}

TEST(TrainingState, IsReadAsItWasWrittenOrNotAtAll) {
  const auto comm = comm::make_null_communicator();
  const test::TempFolder folder;
  const auto file = folder / "state";
  const std::vector<StatePart> parts{{0, 3}, {0, 0}, {0, 500}};
  const auto part = [&](std::size_t index) {
    return std::vector<std::byte>(parts[index].bytes, static_cast<std::byte>(index + 7));
  };
  const auto read = [&](std::uint64_t key, std::span<const StatePart> wanted) {
    std::size_t n = 0;
    const bool found = read_state(*comm, file, key, wanted,
                                  [&](std::size_t index, std::span<const std::byte> bytes) {
                                    EXPECT_TRUE(std::ranges::equal(bytes, part(index)));
                                    ++n;
                                  });
    EXPECT_EQ(n, found ? parts.size() : 0);
    return found;
  };
  EXPECT_FALSE(read(5, parts));
  write_state(*comm, file, 5, parts, part);
  EXPECT_TRUE(read(5, parts));
  EXPECT_FALSE(read(6, parts));
  EXPECT_FALSE(read(5, std::span(parts).first(2)));
  std::ifstream written(file, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(written), {}};
  bytes[bytes.size() - 9] ^= 1;
  test::write_file(file, bytes);
  EXPECT_FALSE(read(5, parts));
  EXPECT_THROW(write_state(*comm, folder / "absent" / "state", 5, parts, part), comm::AgreedError);
}

TEST(TrainedFactors, StartWithTheSameUpdateInEvenFactors) {
  lora::Factors factors{Matrix(1, 2), Matrix(2, 1), 4.0};
  factors.a(0, 0) = 3.0F;
  factors.a(0, 1) = -1.0F;
  factors.b(0, 0) = 0.25F;
  factors.b(1, 0) = 0.5F;
  const TrainedFactors trained(factors, 0.0);
  const lora::Factors& even = trained.factors();
  EXPECT_EQ(even.scaling, 1.0);
  double of_a = 0.0;
  double of_b = 0.0;
  for (Index i = 0; i < 2; ++i) {
    of_a += std::pow(static_cast<double>(even.a(0, i)), 2);
    of_b += std::pow(static_cast<double>(even.b(i, 0)), 2);
    for (Index o = 0; o < 2; ++o) {
      EXPECT_NEAR(even.b(o, 0) * even.a(0, i), 4.0F * factors.b(o, 0) * factors.a(0, i), 1e-5F);
    }
  }
  EXPECT_NEAR(of_a, of_b, 1e-5);
}

/// Prompts "1 7 x y" with x and y of their own, and one that has nothing of its own.
std::vector<eval::Example> few_examples() {
  return {{{1, 7, 20, 21, 9, 2}, 4}, {{1, 7, 22, 23, 9, 2}, 4}, {{1, 7, 24, 25, 8, 2}, 4}};
}

TEST(LearningMaterial, HasEveryExampleAndItsVariantsInPortions) {
  const auto examples = few_examples();
  const auto in_twos = [&](std::uint64_t stream) {
    return in_portions(learning_material(examples, 40, stream), 2);
  };
  const auto portions = in_twos(5);
  EXPECT_EQ(portions, in_twos(5));
  EXPECT_NE(portions, in_twos(6));
  std::vector<eval::Example> all;
  for (const auto& portion : portions) {
    EXPECT_LE(portion.size(), 2U);
    all.insert(all.end(), portion.begin(), portion.end());
  }
  ASSERT_EQ(all.size(), 3U * 41);
  int n_replaced = 0;
  int in_first_half = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const eval::Example& original = examples[i % 3];
    EXPECT_EQ(all[i].prompt_len, 4);
    for (std::size_t at = 0; at < original.ids.size(); ++at) {
      if (all[i].ids[at] == original.ids[at]) continue;
      ++n_replaced;
      in_first_half += i < all.size() / 2 ? 1 : 0;
      EXPECT_GE(i, 3U) << "the originals come first, as they are";
      EXPECT_TRUE(at == 2 || at == 3) << "instruction and response stay";
      EXPECT_TRUE(all[i].ids[at] >= 20 && all[i].ids[at] <= 25);
    }
  }
  // A token is its own replacement in one of six cases.
  EXPECT_NEAR(n_replaced, 0.5 * 5 / 6 * 240, 15);
  EXPECT_NEAR(in_first_half, 0.25 * 5 / 6 * 120, 10);
}

TEST(LearningMaterial, HasNoVariantsWherePromptsHaveNothingOfTheirOwn) {
  const std::vector<eval::Example> alike{{{1, 7, 9, 2}, 2}, {{1, 7, 8, 2}, 2}};
  EXPECT_EQ(learning_material(alike, 7, 0).examples, alike);
  const std::vector<eval::Example> single{{{1, 7, 9, 2}, 2}};
  EXPECT_EQ(learning_material(single, 7, 0).examples, single);
  EXPECT_EQ(in_portions({single, 1}, 2), (std::vector<std::vector<eval::Example>>{single}));
}

TEST(LearningMaterial, WithoutABatchAPortionHasAsManyAsThereAreExamples) {
  const auto portions = in_portions(learning_material(few_examples(), 2, 0), 0);
  ASSERT_EQ(portions.size(), 3U);
  EXPECT_EQ(portions[0], few_examples());
}

TEST(LearningMaterial, HasNoMoreVariantsThanStepsLearn) {
  EXPECT_EQ(n_variants(10, {2, 7, 150}), 7);
  EXPECT_EQ(n_variants(100, {2, 7, 150}), 2);
  EXPECT_EQ(n_variants(100, {2, 7, 151}), 3);
  EXPECT_EQ(n_variants(100, {2, 7, 50}), 0);
  EXPECT_EQ(n_variants(10, {0, 7, 4}), 3);
  EXPECT_EQ(n_variants(10, {2, 7, 0}), 0);
}

TEST(LearningMaterial, CostsWhatItsStepsLearn) {
  EXPECT_EQ(learning_cost(10, {2, 7, 150}, 150), 15 + 3 * 150 * 0.2);
  EXPECT_EQ(learning_cost(10, {0, 0, 30}, 30), 1 + 90);
  EXPECT_EQ(learning_cost(3, {5, 0, 10}, 10), 1 + 30);
}

/// Clusters of some bundled tasks on one rank, with an engine whose gradients are known.
class Distill : public testing::Test {
 protected:
  static constexpr int n_tasks = 5;

  Distill() {
    manifest_ = eval::read_manifest(test::source("data/demo"));
    manifest_.tasks.resize(n_tasks);
    const eval::ModelFolder model = eval::load_model_folder(manifest_.model);
    std::vector<std::filesystem::path> folders;
    for (const eval::TaskSpec& task : manifest_.tasks) folders.push_back(task.adapter);
    adapters_ = std::make_unique<AdapterStore>(*comm_, open_folders(*comm_, folders),
                                               std::vector<int>(n_tasks, 0),
                                               model.model.target_modules(), manifest_.model);
    tasks_ = std::make_unique<TaskStore>(*comm_, manifest_, model.encoding(), model.limits(),
                                         PackOptions{}, 0);
    std::iota(adapter_of_task_.begin(), adapter_of_task_.end(), AdapterId(0));
  }

  /// {0, 2} and {1, 3, 4}.
  [[nodiscard]] static std::vector<DistillCluster> clusters() {
    return {{{{0, 2}, {0.5, 0.5}}, {0, 2}, {0.25, 0.75}},
            {{{1, 3, 4}, {0.25, 0.25, 0.5}}, {1, 3, 4}, {0.2, 0.2, 0.6}}};
  }

  [[nodiscard]] Distilled run(const DistillOptions& options, std::uint64_t merged_bytes = 512 << 20,
                              std::uint64_t exchange_bytes = 1 << 20) {
    MergePlan plan;
    plan.method = &merge::find_method(method_);
    plan.options.density = 0.5;
    plan.exchange_bytes = exchange_bytes;
    test::FakeEngine engine(3);
    const JobParts parts{*comm_, *adapters_, *tasks_, adapter_of_task_, engine, timers_};
    Merger merger(parts, nullptr, plan, merged_bytes, 0);
    return distill({parts, merger, stop_, states_}, clusters(), options);
  }

  static void expect_same(const Distilled& a, const Distilled& b) {
    EXPECT_EQ(a.loss, b.loss);
    ASSERT_EQ(a.adapters.size(), b.adapters.size());
    for (std::size_t c = 0; c < a.adapters.size(); ++c) {
      ASSERT_EQ(a.adapters[c]->own.size(), b.adapters[c]->own.size());
      for (const auto& [module, factors] : a.adapters[c]->own) {
        const lora::Factors& other = b.adapters[c]->own.at(module);
        EXPECT_TRUE(std::ranges::equal(factors.a.values(), other.a.values()));
        EXPECT_TRUE(std::ranges::equal(factors.b.values(), other.b.values()));
      }
    }
  }

  std::unique_ptr<comm::Communicator> comm_ = comm::make_null_communicator();
  eval::Manifest manifest_;
  std::unique_ptr<AdapterStore> adapters_;
  std::unique_ptr<TaskStore> tasks_;
  IdVector<TaskId, AdapterId> adapter_of_task_ = IdVector<TaskId, AdapterId>(n_tasks);
  PhaseTimers timers_;
  std::string method_ = "average";
  std::function<bool()> stop_ = [] { return false; };
  TrainingStates* states_ = nullptr;
};

TEST_F(Distill, LeadsToTheWeightedMeanOfWhatTheTasksWant) {
  const Distilled found = run({.rate = 0.05, .material = {0, 0, 200}});
  const auto goal = [&](TaskId task) {
    const auto batches =
        eval::pack(tasks_->examples(task, Split::few_shot), eval::LossOn::response, 2048);
    return test::FakeEngine::goal(batches.front().forest.ids);
  };
  const std::vector<double> wanted{0.25 * goal(0) + 0.75 * goal(2),
                                   0.2 * goal(1) + 0.2 * goal(3) + 0.6 * goal(4)};
  for (std::size_t c = 0; c < 2; ++c) {
    EXPECT_EQ(found.adapters[c]->name, "average, distilled");
    EXPECT_EQ(found.loss[c].size(), 200U);
    EXPECT_LT(found.loss[c].back(), found.loss[c].front());
    ASSERT_FALSE(found.adapters[c]->own.empty());
    for (const auto& [module, factors] : found.adapters[c]->own) {
      EXPECT_EQ(factors.scaling, 1.0);
      for (const float x : factors.a.values()) ASSERT_NEAR(x, wanted[c], 0.02);
      for (const float x : factors.b.values()) ASSERT_NEAR(x, wanted[c], 0.02);
    }
  }
}

TEST_F(Distill, DoesNotDependOnWhatIsDoneAtATime) {
  const Distilled at_once = run({.material = {.steps = 3}});
  expect_same(at_once, run({.material = {.steps = 3}}, 1));
  expect_same(at_once, run({.material = {.steps = 3}}, 512 << 20, 1));
}

TEST_F(Distill, VariantsGetTheAnswersThatTheAdapterWritesToTheirPrompts) {
  test::FakeEngine engine;
  // The engine repeats the last token of the prompt as often as it may.
  const auto expect_answers = [&](std::span<const eval::Example> examples,
                                  std::span<const std::size_t> lengths) {
    const Material before = learning_material(examples, 3, 0);
    Material after = before;
    answer_variants(engine, nullptr, *tasks_, after);
    ASSERT_EQ(after.n_given, examples.size());
    ASSERT_EQ(after.examples.size(), 4 * examples.size());
    for (std::size_t i = 0; i < after.examples.size(); ++i) {
      eval::Example expected = before.examples[i];
      if (i >= examples.size()) {
        const auto prompt_len = static_cast<std::size_t>(expected.prompt_len);
        expected.ids.resize(prompt_len);
        expected.ids.resize(prompt_len + lengths[i % examples.size()], expected.ids.back());
      }
      EXPECT_EQ(after.examples[i], expected) << i;
    }
  };
  expect_answers(few_examples(), std::vector<std::size_t>{2, 2, 2});
  EXPECT_EQ(engine.generated.stops, std::vector{2});
  EXPECT_EQ(engine.generated.most_tokens, 2);
  const std::vector<eval::Example> no_end{{{1, 7, 20, 9}, 3}, {{1, 7, 22, 9, 9}, 3}};
  expect_answers(no_end, std::vector<std::size_t>{1, 2});
  EXPECT_EQ(engine.generated.stops, std::vector<std::int32_t>{});
  // The line breaks behind the end stand in a response, too.
  const std::vector<eval::Example> lines{{{1, 7, 20, 9, 5, 9, 3, 5}, 3}, {{1, 7, 22, 8, 3, 5}, 3}};
  expect_answers(lines, std::vector<std::size_t>{5, 5});
  EXPECT_EQ(engine.generated.stops, std::vector{3});
}

TEST_F(Distill, LessonsHaveTheTextsThatTeachersWrite) {
  test::FakeEngine engine;
  const Teachers teachers{
      {*comm_, *adapters_, *tasks_, adapter_of_task_, engine, timers_}, {}, {0, 3, 9}, 4};
  const std::vector<Learner> learners{{2, 0}, {0, 0}};
  const auto lessons = taught_lessons(teachers, learners, stop_);
  ASSERT_TRUE(lessons);
  ASSERT_EQ(lessons->size(), 2U);
  for (const auto& [task, of_task] : *lessons) {
    Material material = learning_material(tasks_->examples(task, Split::few_shot), 3, task.index());
    answer_variants(engine, nullptr, *tasks_, material);
    const auto portions = in_portions(material, 0);
    ASSERT_EQ(of_task.size(), portions.size());
    for (std::size_t p = 0; p < portions.size(); ++p) {
      const auto packed = tasks_->pack(portions[p]);
      ASSERT_EQ(of_task[p].size(), packed.size());
      for (std::size_t b = 0; b < packed.size(); ++b) {
        EXPECT_EQ(of_task[p][b].batch.forest.ids, packed[b].forest.ids);
      }
    }
  }
}

TEST_F(Distill, LearnsFromWhatASearchMaySee) {
  const cluster::ExampleFolds kept{.choose = 2, .verify = 3};
  test::FakeEngine engine;
  const Teachers teachers{
      {*comm_, *adapters_, *tasks_, adapter_of_task_, engine, timers_}, kept, {2, 1, 99}, 4};
  const std::vector<Learner> learners{{3, 0}, {1, 0}};
  const auto lessons = taught_lessons(teachers, learners, stop_);
  ASSERT_TRUE(lessons);
  ASSERT_EQ(lessons->size(), 2U);
  for (const auto& [task, of_task] : *lessons) {
    std::ptrdiff_t n_examples = 0;
    for (const auto& portion : of_task) {
      double weight = 0.0;
      for (const eval::Lesson& lesson : portion) {
        weight = std::accumulate(lesson.weight.begin(), lesson.weight.end(), weight);
        n_examples += std::ranges::count(lesson.batch.places, 0, &eval::Batch::Place::scored);
      }
      EXPECT_NEAR(weight, 1.0, 1e-5);
    }
    const auto n_learnt = tasks_->facts(task, Split::few_shot).n_examples - kept.verify;
    EXPECT_EQ(n_examples, 2 * n_learnt);
  }
}

TEST_F(Distill, GoesOnFromWhatWasSaved) {
  const test::TempFolder folder;
  const Distilled whole = run({.material = {.steps = 6}}, 1);
  std::vector<std::function<void()>> savers;
  const auto states = [&] {
    savers.clear();
    return TrainingStates{folder / "state", 1,
                          [&](std::function<void()> save) { savers.push_back(save); }, 0};
  };
  int n_asked = 0;
  for (const int stop_after : {2, 5, 100}) {
    TrainingStates kept = states();
    states_ = &kept;
    int asked = 0;
    stop_ = [&] {
      if (asked++ < stop_after) {
        ++n_asked;
        return false;
      }
      for (const auto& save : savers) save();
      throw std::runtime_error("stopped");
    };
    try {
      expect_same(whole, run({.material = {.steps = 6}}, 1));
      EXPECT_EQ(stop_after, 100);
    } catch (const std::runtime_error&) {
      EXPECT_LT(stop_after, 100);
    }
  }
  // Twelve steps; two and three tasks, the former three times.
  EXPECT_EQ(n_asked, 12 + 2 + 3 + 2 * 2);
}

TEST_F(Distill, DoesNotGoOnFromTheTrainingOfAnotherMethod) {
  const test::TempFolder folder;
  std::vector<std::function<void()>> savers;
  const auto states = [&] {
    return TrainingStates{folder / "state", 1,
                          [&](std::function<void()> save) { savers.push_back(save); }, 0};
  };
  TrainingStates kept = states();
  states_ = &kept;
  const Distilled average = run({.material = {.steps = 3}});
  for (const auto& save : savers) save();
  ASSERT_TRUE(std::filesystem::exists(folder / "state.0"));

  // As large as the others, and in the same place.
  method_ = "ties_svd";
  TrainingStates found = states();
  states_ = &found;
  const Distilled beside = run({.material = {.steps = 3}});
  states_ = nullptr;
  expect_same(beside, run({.material = {.steps = 3}}));
  EXPECT_NE(beside.loss, average.loss);
}

TEST_F(Distill, EndsEarlyWhenItIsTold) {
  for (const int n_steps : {0, 2}) {
    int asked = 0;
    // Before each of five tasks, then before each step.
    stop_ = [&] { return ++asked > n_steps + (n_steps == 0 ? 3 : n_tasks); };
    const Distilled found = run({.material = {.steps = 30}});
    ASSERT_EQ(found.adapters.size(), 2U);
    for (const auto& curve : found.loss) EXPECT_EQ(std::ssize(curve), n_steps);
  }
}

}  // namespace
}  // namespace d2c::job
