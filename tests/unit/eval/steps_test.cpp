#include "d2c/eval/steps.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "d2c/core/rng.hpp"
#include "d2c/eval/evaluator.hpp"
#include "d2c/eval/speed.hpp"

namespace d2c::eval {
namespace {

constexpr Index many = 1000;

struct Case {
  std::vector<Example> examples;
  std::vector<int> part_of;
};

/// Examples over a tiny alphabet, so that prefixes are shared, nested and repeated.
Case random_case(std::uint64_t seed) {
  CounterRng rng(seed, 0);
  Case result;
  result.examples.resize(1 + rng.below(12));
  for (Example& example : result.examples) {
    example.ids.resize(2 + rng.below(25));
    const auto shared = rng.below(example.ids.size());
    for (std::size_t i = shared; i < example.ids.size(); ++i)
      example.ids[i] = static_cast<std::int32_t>(rng.below(2));
    example.prompt_len = 1 + static_cast<Index>(rng.below(example.ids.size() - 1));
    result.part_of.push_back(static_cast<int>(rng.below(4)));
  }
  return result;
}

Index computed(std::span<const Step> steps) {
  Index tokens = 0;
  for (const Step& step : steps) tokens += step.n_computed();
  return tokens;
}

class Steps : public testing::Test {
 protected:
  Steps()
      : model_(model::Model::random(llama_config({.layers = 3,
                                                  .hidden = 32,
                                                  .intermediate = 48,
                                                  .heads = 4,
                                                  .kv_heads = 2,
                                                  .vocabulary = 64}),
                                    ops::WeightFormat::f32)),
        adapter_(random_adapter(model_.config(), 3)),
        evaluator_(model_) {
    evaluator_.use(&adapter_);
  }

  [[nodiscard]] std::vector<std::vector<double>> whole(const Case& of, LossOn loss_on) {
    return evaluator_.token_losses(pack(of.examples, loss_on, many), std::ssize(of.examples));
  }
  [[nodiscard]] std::vector<std::vector<double>> stepwise(const Case& of,
                                                          std::span<const Step> steps) {
    StepProgress progress;
    for (const Step& step : steps) evaluator_.advance(step, progress, std::ssize(of.examples));
    return progress.token_losses;
  }

  model::Model model_;
  lora::FactorMap adapter_;
  Evaluator evaluator_;
};

TEST_F(Steps, HaveTheBitsOfTheWhole) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Case of = random_case(seed);
    for (const LossOn loss_on : {LossOn::response, LossOn::all})
      for (const Index max_tokens : {Index{1}, Index{17}, many})
        for (const SharedTokens shared : {SharedTokens::kept, SharedTokens::again}) {
          const auto steps = pack_steps(of.examples, of.part_of, loss_on, max_tokens, shared);
          EXPECT_EQ(stepwise(of, steps), whole(of, loss_on)) << "seed " << seed;
        }
  }
}

TEST_F(Steps, CompleteEveryExampleWithItsPart) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Case of = random_case(seed);
    const auto expected = whole(of, LossOn::response);
    const auto steps =
        pack_steps(of.examples, of.part_of, LossOn::response, 20, SharedTokens::kept);
    StepProgress progress;
    std::vector<Index> complete;
    int part = 0;
    for (const Step& step : steps) {
      EXPECT_GE(step.part, part);
      part = step.part;
      evaluator_.advance(step, progress, std::ssize(of.examples));
      for (const Index e : step.examples) {
        const auto i = static_cast<std::size_t>(e);
        EXPECT_EQ(of.part_of[i], part);
        EXPECT_EQ(progress.token_losses[i], expected[i]);
        complete.push_back(e);
      }
    }
    std::ranges::sort(complete);
    ASSERT_EQ(complete.size(), of.examples.size());
    for (std::size_t i = 0; i < complete.size(); ++i) {
      EXPECT_EQ(complete[i], static_cast<Index>(i));
    }
  }
}

TEST(PackSteps, ComputeNoTokenTwiceIfTheyKeepIt) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Case of = random_case(seed);
    const Index distinct =
        count_tokens(of.examples, pack(of.examples, LossOn::response, many)).computed;
    for (const Index max_tokens : {Index{1}, many}) {
      const auto kept =
          pack_steps(of.examples, of.part_of, LossOn::response, max_tokens, SharedTokens::kept);
      EXPECT_EQ(computed(kept), distinct);
      for (const Step& step : kept) {
        EXPECT_TRUE(step.n_computed() <= max_tokens || step.examples.size() == 1);
      }
      const auto again =
          pack_steps(of.examples, of.part_of, LossOn::response, max_tokens, SharedTokens::again);
      EXPECT_GE(computed(again), distinct);
      for (const Step& step : again) EXPECT_EQ(step.n_kept + step.n_to_keep, 0);
    }
  }
}

TEST(PackSteps, KeepOnlyWhatLaterStepsContinue) {
  // Two parts that share three tokens; the rest of the first part is not kept.
  const std::vector<Example> examples{{{1, 2, 3, 4, 5, 6}, 4}, {{1, 2, 3, 7, 8, 9}, 4}};
  const auto steps =
      pack_steps(examples, std::vector<int>{0, 1}, LossOn::response, many, SharedTokens::kept);
  ASSERT_EQ(steps.size(), 2U);
  EXPECT_EQ(steps[0].n_to_keep, 3);
  EXPECT_EQ(steps[1].n_kept, 3);
  EXPECT_EQ(steps[1].n_computed(), 2);
}

}  // namespace
}  // namespace d2c::eval
