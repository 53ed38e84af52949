#include "d2c/eval/batch.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "d2c/core/rng.hpp"

namespace d2c::eval {
namespace {

/// Examples over a tiny alphabet, so that prefixes are shared, nested and repeated.
std::vector<Example> examples_of(std::uint64_t seed) {
  CounterRng rng(seed, 0);
  std::vector<Example> examples(1 + rng.below(12));
  for (Example& example : examples) {
    example.ids.resize(2 + rng.below(9));
    for (auto& id : example.ids) id = static_cast<std::int32_t>(rng.below(2));
    example.prompt_len = 1 + static_cast<Index>(rng.below(example.ids.size() - 1));
  }
  return examples;
}

/// The sequence that ends at `row`, read back through the parents.
std::vector<std::int32_t> path_to(const model::TokenForest& forest, Index row) {
  std::vector<std::int32_t> reversed;
  auto segment = std::find_if(forest.segments.begin(), forest.segments.end(),
                              [&](const auto& s) { return row >= s.begin && row < s.end; });
  for (Index end = row + 1;; end = segment->end) {
    for (Index r = end; r-- > segment->begin;) {
      reversed.push_back(forest.ids[static_cast<std::size_t>(r)]);
    }
    if (segment->parent < 0) break;
    segment = forest.segments.begin() + segment->parent;
  }
  return {reversed.rbegin(), reversed.rend()};
}

TEST(Pack, EveryTargetFollowsExactlyItsOwnPrefix) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto examples = examples_of(seed);
    for (const LossOn loss_on : {LossOn::response, LossOn::all}) {
      for (const Index max_tokens : {1, 7, 1000}) {
        std::vector<Index> complete;
        std::map<Index, Index> scored;  // targets of each example
        for (const Batch& batch : pack(examples, loss_on, max_tokens)) {
          ASSERT_EQ(batch.places.size(), batch.targets.size());
          for (std::size_t t = 0; t < batch.targets.size(); ++t) {
            const auto [e, index] = batch.places[t];
            const Example& example = examples[static_cast<std::size_t>(e)];
            EXPECT_EQ(index, scored[e]++);
            const Index position = index + (loss_on == LossOn::response ? example.prompt_len : 1);
            const std::vector<std::int32_t> prefix(example.ids.begin(),
                                                   example.ids.begin() + position);
            EXPECT_EQ(path_to(batch.forest, batch.targets[t].row), prefix);
            EXPECT_EQ(batch.targets[t].label, example.ids[static_cast<std::size_t>(position)]);
          }
          for (const auto& [e, index] : batch.places) {
            if (index > 0) continue;
            const Example& example = examples[static_cast<std::size_t>(e)];
            const Index first = loss_on == LossOn::response ? example.prompt_len : 1;
            EXPECT_EQ(scored[e], std::ssize(example.ids) - first);
            complete.push_back(e);
          }
        }
        std::ranges::sort(complete);
        ASSERT_EQ(complete.size(), examples.size());
        for (std::size_t e = 0; e < complete.size(); ++e) {
          EXPECT_EQ(complete[e], static_cast<Index>(e));
        }
      }
    }
  }
}

TEST(Pack, ComputesEveryDistinctPrefixOnce) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto examples = examples_of(seed);
    std::set<std::vector<std::int32_t>> prefixes;
    for (const Example& example : examples) {
      for (std::size_t n = 1; n < example.ids.size(); ++n) {
        prefixes.emplace(example.ids.begin(), example.ids.begin() + static_cast<std::ptrdiff_t>(n));
      }
    }
    const auto batches = pack(examples, LossOn::response, 1000);
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(count_tokens(examples, batches).computed, std::ssize(prefixes));
  }
}

TEST(Pack, SegmentsTileTheBatchAndParentsPrecede) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    for (const Batch& batch : pack(examples_of(seed), LossOn::response, 20)) {
      Index row = 0;
      for (std::size_t s = 0; s < batch.forest.segments.size(); ++s) {
        const auto& segment = batch.forest.segments[s];
        EXPECT_EQ(segment.begin, row);
        EXPECT_LT(segment.begin, segment.end);
        EXPECT_LT(segment.parent, static_cast<Index>(s));
        EXPECT_EQ(segment.first_position + 1, std::ssize(path_to(batch.forest, segment.begin)));
        row = segment.end;
      }
      EXPECT_EQ(row, std::ssize(batch.forest.ids));
    }
  }
}

TEST(Pack, BoundsTheTokensOfABatch) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    for (const Batch& batch : pack(examples_of(seed), LossOn::response, 12)) {
      EXPECT_LE(std::ssize(batch.forest.ids), 12);  // no example is longer than 10
    }
  }
}

TEST(Pack, KeepsLongExamplesApart) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto examples = examples_of(seed);
    std::size_t n = 0;
    for (const Batch& batch : pack(examples, LossOn::response, 1000, 5)) {
      for (const auto& [e, index] : batch.places) {
        if (index == 0) ++n;
        EXPECT_EQ(batch.forest.is_long, examples[static_cast<std::size_t>(e)].ids.size() > 5);
      }
    }
    EXPECT_EQ(n, examples.size());
  }
}

TEST(ExampleLosses, AreTheMeansOfTheirTokens) {
  const std::vector<Example> examples{{{1, 2, 3, 4}, 2}, {{1, 2, 5, 6, 7}, 2}, {{1, 9}, 1}};
  const auto batches = pack(examples, LossOn::response, 4);
  ASSERT_GT(batches.size(), 1U);
  std::vector<double> nll;
  for (const Batch& batch : batches) {
    for (const auto& [example, scored] : batch.places) {
      nll.push_back(static_cast<double>(10 * example + scored));
    }
  }
  TokenLosses losses;
  add_losses(batches, nll, losses);
  EXPECT_EQ(losses, (TokenLosses{{0, 1}, {10, 11, 12}, {20}}));
  EXPECT_EQ(example_losses(batches, nll, 3), (std::vector<double>{0.5, 11, 20}));
}

}  // namespace
}  // namespace d2c::eval
