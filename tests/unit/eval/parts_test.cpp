#include <algorithm>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "d2c/core/rng.hpp"
#include "d2c/eval/batch.hpp"
#include "d2c/eval/cpu_engine.hpp"
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

Index computed(std::span<const Batch> batches) {
  Index tokens = 0;
  for (const Batch& batch : batches) tokens += batch.n_computed();
  return tokens;
}

class Parts : public testing::Test {
 protected:
  Parts()
      : model_(model::Model::random(llama_config({.layers = 3,
                                                  .hidden = 32,
                                                  .intermediate = 48,
                                                  .heads = 4,
                                                  .kv_heads = 2,
                                                  .vocabulary = 64}),
                                    ops::WeightFormat::f32)),
        engine_(make_cpu_engine(model_, 1)),
        adapter_(engine_->prepare(random_adapter(model_.config(), 3))) {}

  [[nodiscard]] TokenLosses whole(const Case& of, LossOn loss_on) const {
    const auto batches = pack(of.examples, loss_on, many);
    TokenLosses losses;
    add_losses(batches, losses_of(*engine_, Unit{.adapter = adapter_, .batches = batches}).nll,
               losses);
    return losses;
  }
  /// Adds the losses of some batches, which continue those that left `prefixes`.
  void advance(std::span<const Batch> batches, std::unique_ptr<KeptPrefixes>& prefixes,
               TokenLosses& losses) const {
    Unit unit{.adapter = adapter_, .batches = batches, .prefixes = std::move(prefixes)};
    UnitResult result = losses_of(*engine_, std::move(unit));
    add_losses(batches, result.nll, losses);
    prefixes = std::move(result.prefixes);
  }

  model::Model model_;
  std::unique_ptr<LossEngine> engine_;
  AdapterHandle adapter_;
};

TEST_F(Parts, HaveTheBitsOfTheWhole) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Case of = random_case(seed);
    for (const LossOn loss_on : {LossOn::response, LossOn::all})
      for (const Index max_tokens : {Index{1}, Index{17}, many})
        for (const SharedTokens shared : {SharedTokens::kept, SharedTokens::again}) {
          const auto batches = pack_parts(of.examples, of.part_of, loss_on, max_tokens, shared);
          std::unique_ptr<KeptPrefixes> prefixes;
          TokenLosses losses;
          advance(batches, prefixes, losses);
          EXPECT_EQ(losses, whole(of, loss_on)) << "seed " << seed;
        }
  }
}

TEST_F(Parts, AreCompleteOneByOneWithTheBitsOfTheWhole) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const Case of = random_case(seed);
    const auto expected = whole(of, LossOn::response);
    const auto batches =
        pack_parts(of.examples, of.part_of, LossOn::response, 20, SharedTokens::kept);
    std::unique_ptr<KeptPrefixes> prefixes;
    TokenLosses losses;
    std::vector<Index> complete;
    int part = 0;
    for (const Batch& batch : batches) {
      EXPECT_GE(batch.part, part);
      part = batch.part;
      advance({&batch, 1}, prefixes, losses);
      for (const Index e : batch.examples) {
        const auto i = static_cast<std::size_t>(e);
        EXPECT_EQ(of.part_of[i], part);
        EXPECT_EQ(losses.at(i), expected[i]);
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

TEST(PackParts, ComputeNoTokenTwiceIfTheyKeepIt) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const Case of = random_case(seed);
    const Index distinct =
        count_tokens(of.examples, pack(of.examples, LossOn::response, many)).computed;
    for (const Index max_tokens : {Index{1}, many}) {
      const auto kept =
          pack_parts(of.examples, of.part_of, LossOn::response, max_tokens, SharedTokens::kept);
      EXPECT_EQ(computed(kept), distinct);
      for (const Batch& batch : kept) {
        EXPECT_TRUE(batch.n_computed() <= max_tokens || batch.examples.size() == 1);
      }
      const auto again =
          pack_parts(of.examples, of.part_of, LossOn::response, max_tokens, SharedTokens::again);
      EXPECT_GE(computed(again), distinct);
      for (const Batch& batch : again) EXPECT_EQ(batch.n_kept + batch.n_to_keep, 0);
    }
  }
}

TEST(PackParts, KeepOnlyWhatLaterBatchesContinue) {
  // Two parts that share three tokens; the rest of the first part is not kept.
  const std::vector<Example> examples{{{1, 2, 3, 4, 5, 6}, 4}, {{1, 2, 3, 7, 8, 9}, 4}};
  const auto batches =
      pack_parts(examples, std::vector<int>{0, 1}, LossOn::response, many, SharedTokens::kept);
  ASSERT_EQ(batches.size(), 2U);
  EXPECT_EQ(batches[0].n_to_keep, 3);
  EXPECT_EQ(batches[1].n_kept, 3);
  EXPECT_EQ(batches[1].n_computed(), 2);
}

}  // namespace
}  // namespace d2c::eval
