#include "d2c/eval/speed.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include <gmock/gmock.h>

#include "d2c/eval/cpu_engine.hpp"

#include "panel/panel_kernel.hpp"
#include "test_support.hpp"

namespace d2c::eval {
namespace {

constexpr LlamaShape shape{
    .layers = 2, .hidden = 32, .intermediate = 48, .heads = 4, .kv_heads = 2, .vocabulary = 100};

/// 2 hidden (q_size + kv_size) + 3 hidden intermediate
constexpr double layer_parameters = 2 * 32 * (32 + 16) + 3 * 32 * 48;

TEST(RandomExamples, ShareTheirInstructionAndNothingElse) {
  const auto examples = random_examples({.n_examples = 3, .length = 20, .shared = 8}, 1'000'000);
  ASSERT_EQ(examples.size(), 3U);
  for (const Example& example : examples) {
    ASSERT_EQ(example.ids.size(), 20U);
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(example.ids[i], examples[0].ids[i]);
  }
  EXPECT_NE(examples[1].ids[8], examples[0].ids[8]);
  EXPECT_NE(examples[2].ids[8], examples[1].ids[8]);
}

TEST(Work, OfOneTokenCountsEachWeightOnce) {
  const auto config = llama_config(shape);
  const model::TokenForest forest{{7}, {{.begin = 0, .end = 1}}};
  const std::vector<model::Target> targets{{0, 3}};
  const double adapter = parameters(random_adapter(config, 4));
  // One token looks at itself: scores and values, 2 q_size operations each, in two layers.
  const double expected = 2.0 * (2.0 * layer_parameters + adapter + 32 * 100) + 2 * 4.0 * 32;
  EXPECT_DOUBLE_EQ(model::work(config, forest, targets, adapter).useful, expected);
  EXPECT_DOUBLE_EQ(model::work(config, forest, targets, adapter).done, expected);
}

TEST(Work, TheLastLayerIsDoneForTargetsOnly) {
  const auto config = llama_config(shape);
  const model::TokenForest forest{{7, 8, 9}, {{.begin = 0, .end = 3}}};
  const std::vector<model::Target> targets{{2, 3}};
  const model::Work work = model::work(config, forest, targets, 0.0);
  // Two tokens need keys and values alone, 2 hidden kv_size weights, and look at 1 + 2 tokens less.
  const double saved = 2.0 * 2.0 * (layer_parameters - 2 * 32 * 16) + 4.0 * 32 * 3;
  EXPECT_DOUBLE_EQ(work.useful - work.done, saved);
}

/// Losses of tasks packed together, or each by itself, with the work large enough for threads.
class ManyTasks : public testing::TestWithParam<ops::WeightFormat> {
 protected:
  static std::vector<std::vector<Example>> tasks() {
    return {random_examples({.n_examples = 4, .length = 60, .shared = 20}, 3000),
            random_examples({.n_examples = 3, .length = 75, .shared = 50, .response = 9}, 3000),
            random_examples({.n_examples = 5, .length = 33, .shared = 1, .response = 2}, 3000)};
  }

  std::vector<double> losses(std::span<const Example> examples, int n_threads) {
    const auto engine = make_cpu_engine(model_, n_threads);
    const auto batches = pack(examples, LossOn::response, 2048);
    const auto nll =
        losses_of(*engine, Unit{.adapter = engine->prepare(adapter_), .batches = batches}).nll;
    return example_losses(batches, nll, std::ssize(examples));
  }

  const model::Model model_ = model::Model::random(llama_config({.layers = 2,
                                                                 .hidden = 144,
                                                                 .intermediate = 400,
                                                                 .heads = 9,
                                                                 .kv_heads = 3,
                                                                 .vocabulary = 3000}),
                                                   GetParam());
  const lora::FactorMap adapter_ = random_adapter(model_.config(), 12);
};

TEST_P(ManyTasks, GiveTheSameBitsTogetherAndAloneWithAnyThreadsAndVectors) {
  std::vector<Example> all;
  std::vector<double> alone;
  for (const auto& task : tasks()) {
    all.insert(all.end(), task.begin(), task.end());
    std::ranges::copy(losses(task, 1), std::back_inserter(alone));
  }
  for (const auto& kernels : {ops::vector_kernels(), ops::baseline_kernels()}) {
    const auto before = ops::use_kernels(kernels);
    for (const int n_threads : {1, 2, 5}) {
      EXPECT_EQ(losses(all, n_threads), alone) << n_threads;
    }
    ops::use_kernels(before);
  }
}

INSTANTIATE_TEST_SUITE_P(Weights, ManyTasks,
                         testing::Values(ops::WeightFormat::f32, ops::WeightFormat::bf16));

TEST(MeasureThreads, BoundsTheSpeedUpByTheThreads) {
  const auto model = model::Model::random(llama_config({.layers = 2,
                                                        .hidden = 128,
                                                        .intermediate = 256,
                                                        .heads = 4,
                                                        .kv_heads = 2,
                                                        .vocabulary = 500}));
  const auto examples = random_examples({}, 500);
  const auto batches = pack(examples, LossOn::response, 2048);
  const auto adapter = random_adapter(model.config(), 4);
  const Workload work{&adapter, batches};
  const ThreadSpeed speed = measure_threads(model, {&work, 1}, 3, 0.05);
  EXPECT_GT(speed.loops, 0.0);
  EXPECT_GT(speed.serial, 0.0);
  EXPECT_GT(speed.balance(), 1.0 / 3.0 - 1e-9);
  EXPECT_LE(speed.balance(), 1.0 + 1e-9);
  EXPECT_GT(speed.bound(), 0.0);
  EXPECT_THAT(to_text(speed), testing::HasSubstr("speed-up"));
}

TEST(MeasureSpeed, FillsInEveryPhase) {
  const auto model = model::Model::random(llama_config(shape));
  const auto examples = random_examples({}, shape.vocabulary);
  const auto batches = pack(examples, LossOn::response, 2048);
  const auto adapter = random_adapter(model.config(), 4);
  const Workload work{&adapter, batches};
  const Speed speed = measure_speed(model, {&work, 1}, count_tokens(examples, batches), 1, 0.05);
  for (const double phase : speed.phases) EXPECT_GT(phase, 0.0);
  EXPECT_GT(speed.peak, 0.0);
  EXPECT_GT(speed.done_share, 0.0);
  EXPECT_LE(speed.done_share, speed.useful_share);
  EXPECT_THAT(to_text(speed), testing::HasSubstr("cross-entropy"));
}

TEST(MeasureSpeed, RandomWeightsGiveFiniteLosses) {
  const auto model = model::Model::random(llama_config(shape));
  const auto examples = random_examples({}, shape.vocabulary);
  const auto engine = make_cpu_engine(model, 1);
  const auto batches = pack(examples, LossOn::response, 2048);
  for (const double loss : losses_of(*engine, Unit{.batches = batches}).nll) {
    EXPECT_TRUE(std::isfinite(loss));
  }
}

}  // namespace
}  // namespace d2c::eval
