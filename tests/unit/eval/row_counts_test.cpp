#include "d2c/eval/row_counts.hpp"

#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "d2c/core/rng.hpp"

namespace d2c::eval {
namespace {

TEST(RowCounts, AreTheExamplesThatHoldEachRow) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    CounterRng rng(seed, 5);
    std::vector<Example> examples(1 + rng.below(12));
    for (Example& example : examples) {
      example.ids.resize(2 + rng.below(9));
      for (auto& id : example.ids) id = static_cast<std::int32_t>(rng.below(2));
      example.prompt_len = 1 + static_cast<Index>(rng.below(example.ids.size() - 1));
    }
    for (const LossOn loss_on : {LossOn::response, LossOn::all}) {
      for (const Index max_tokens : {7, 1000}) {
        for (const Batch& batch : pack(examples, loss_on, max_tokens)) {
          std::vector<float> expected(batch.forest.ids.size(), 0.0F);
          for (const auto& [e, index] : batch.places) {
            if (index > 0) continue;
            // Walks down the forest; of equal continuations there is one.
            const auto& ids = examples[static_cast<std::size_t>(e)].ids;
            Index parent = -1;
            for (std::size_t next = 0; next + 1 < ids.size();) {
              const auto& segments = batch.forest.segments;
              const auto child = std::ranges::find_if(segments, [&](const model::Segment& s) {
                return s.parent == parent &&
                       batch.forest.ids[static_cast<std::size_t>(s.begin)] == ids[next];
              });
              ASSERT_NE(child, segments.end());
              for (Index row = child->begin; row < child->end && next + 1 < ids.size(); ++row) {
                ASSERT_EQ(batch.forest.ids[static_cast<std::size_t>(row)], ids[next++]);
                expected[static_cast<std::size_t>(row)] += 1;
              }
              parent = child - segments.begin();
            }
          }
          EXPECT_EQ(row_counts(batch), expected);
        }
      }
    }
  }
}

}  // namespace
}  // namespace d2c::eval
