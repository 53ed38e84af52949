#include "d2c/eval/evaluator.hpp"

#include <cmath>
#include <numeric>

#include "d2c/core/json.hpp"

#include "test_support.hpp"

namespace d2c::eval {
namespace {

struct Golden {
  model::Model model;
  std::vector<Example> examples;
  std::vector<std::vector<double>> base;

  explicit Golden(const std::filesystem::path& folder) : model(folder / "model") {
    const auto golden = json::read_file(folder / "golden.json");
    for (const auto& example : golden["examples"]) {
      examples.push_back(
          {example["ids"].get<std::vector<std::int32_t>>(), example["prompt_len"].get<Index>()});
    }
    base = golden["base"].get<std::vector<std::vector<double>>>();
  }
};

TEST(Evaluator, GivesTheReferencesLossesForAnyPacking) {
  const Golden golden(test::golden("llama3-gqa-tied"));
  Evaluator evaluator(golden.model);
  std::vector<std::vector<double>> first;
  for (const Index max_tokens : {1, 60, 4096}) {
    const auto batches = pack(golden.examples, LossOn::response, max_tokens);
    const auto losses = evaluator.token_losses(batches, std::ssize(golden.examples));
    if (first.empty()) first = losses;
    EXPECT_EQ(losses, first) << "packing changes bits at " << max_tokens << " tokens";
    for (std::size_t e = 0; e < losses.size(); ++e) {
      ASSERT_EQ(losses[e].size(), golden.base[e].size());
      for (std::size_t t = 0; t < losses[e].size(); ++t) {
        EXPECT_NEAR(losses[e][t], golden.base[e][t], 2e-4) << "example " << e << " token " << t;
      }
    }
  }
}

TEST(Evaluator, ExampleLossIsTheMeanOfItsTokens) {
  const Golden golden(test::golden("llama-mha"));
  Evaluator evaluator(golden.model);
  const auto batches = pack(golden.examples, LossOn::all, 4096);
  const auto tokens = evaluator.token_losses(batches, std::ssize(golden.examples));
  const auto means = evaluator.example_losses(batches, std::ssize(golden.examples));
  for (std::size_t e = 0; e < means.size(); ++e) {
    EXPECT_EQ(tokens[e].size() + 1, golden.examples[e].ids.size());
    EXPECT_DOUBLE_EQ(means[e], std::accumulate(tokens[e].begin(), tokens[e].end(), 0.0) /
                                   static_cast<double>(tokens[e].size()));
  }
}

}  // namespace
}  // namespace d2c::eval
