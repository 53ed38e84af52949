#include "d2c/model/generator.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "d2c/core/error.hpp"

#include "batches.hpp"
#include "tiny_model.hpp"

namespace d2c::model {
namespace {

using test::Ids;

class GeneratorOf : public testing::Test {
 protected:
  /// What follows one prompt.
  [[nodiscard]] Ids alone(const Ids& prompt, const GenerationLimits& limits) const {
    TokenForest forest;
    test::add_segment(forest, prompt);
    const std::vector<Index> ends{std::ssize(prompt) - 1};
    return generate(model_, test::one_thread, forest, ends, limits).front();
  }

  const test::TinyModel tiny_ = test::tiny_model({{"max_position_embeddings", 40}});
  const Model model_ = load(tiny_);
};

TEST_F(GeneratorOf, TextsDoNotDependOnTheBatchOrOnThreads) {
  // A prompt that is the beginning of another, one that stands twice, and one of its own.
  const Ids first{7, 3, 11, 40};
  const Ids second{7, 3, 11, 40, 9, 8};
  const Ids third{1, 2};
  TokenForest forest;
  const Index root = test::add_segment(forest, first);
  test::add_segment(forest, {9, 8}, root);
  test::add_segment(forest, third);
  const std::vector<Index> ends{3, 5, 3, 7};
  const GenerationLimits limits{25, {}};
  const std::vector<Ids> expected{alone(first, limits), alone(second, limits), alone(first, limits),
                                  alone(third, limits)};
  for (const int n_threads : {1, 3}) {
    ops::ThreadTeam team(n_threads);
    EXPECT_EQ(generate(model_, team, forest, ends, limits), expected) << n_threads << " threads";
  }
}

TEST_F(GeneratorOf, TextsEndWithAStop) {
  const Ids prompt{7, 3, 11, 40};
  const Ids whole = alone(prompt, {25, {}});
  ASSERT_EQ(whole.size(), 25U);
  for (const std::int32_t stop : {whole[0], whole[4], whole[24]}) {
    const auto end = std::ranges::find(whole, stop) + 1;
    EXPECT_EQ(alone(prompt, {25, {-1, stop}}), Ids(whole.begin(), end));
  }
}

TEST_F(GeneratorOf, TextsEndWhereTheModelHasNoMorePositions) {
  const Ids prompt(37, 5);
  EXPECT_EQ(alone(prompt, {25, {}}).size(), 3U);
  EXPECT_EQ(alone(prompt, {2, {}}).size(), 2U);
  EXPECT_THROW(static_cast<void>(alone(Ids(40, 5), {25, {}})), InputError);
}

}  // namespace
}  // namespace d2c::model
