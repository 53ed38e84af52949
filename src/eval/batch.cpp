#include "d2c/eval/batch.hpp"

#include "d2c/core/error.hpp"

#include "forest_builder.hpp"

namespace d2c::eval {
namespace {

Batch pack_one(std::span<const Example> examples, std::span<const Index> sorted, LossOn loss_on) {
  Batch batch;
  ForestBuilder builder(examples, sorted);
  builder.build(batch.forest);
  batch.target_begin.push_back(0);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Example& example = examples[static_cast<std::size_t>(sorted[i])];
    for (Index p = first_scored(example, loss_on); p < std::ssize(example.ids); ++p) {
      batch.targets.push_back({builder.rows()[i][static_cast<std::size_t>(p - 1)],
                               example.ids[static_cast<std::size_t>(p)]});
    }
    batch.examples.push_back(sorted[i]);
    batch.target_begin.push_back(std::ssize(batch.targets));
  }
  return batch;
}

}  // namespace

std::vector<Batch> pack(std::span<const Example> examples, LossOn loss_on, Index max_tokens) {
  D2C_EXPECTS(max_tokens > 0);
  const std::vector<Index> sorted = sorted_examples(examples);
  std::vector<Batch> batches;
  std::size_t begin = 0;
  Index tokens = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const auto ids = computed_ids(examples[static_cast<std::size_t>(sorted[i])]);
    const Index shared =
        i == begin
            ? 0
            : common_prefix(computed_ids(examples[static_cast<std::size_t>(sorted[i - 1])]), ids);
    if (i > begin && tokens + std::ssize(ids) - shared > max_tokens) {
      batches.push_back(pack_one(examples, std::span(sorted).subspan(begin, i - begin), loss_on));
      begin = i;
      tokens = std::ssize(ids);
    } else {
      tokens += std::ssize(ids) - shared;
    }
  }
  if (begin < sorted.size()) {
    batches.push_back(pack_one(examples, std::span(sorted).subspan(begin), loss_on));
  }
  return batches;
}

TokenCounts count_tokens(std::span<const Example> examples, std::span<const Batch> batches) {
  TokenCounts counts;
  for (const Example& example : examples) counts.total += std::ssize(example.ids);
  for (const Batch& batch : batches) {
    counts.computed += std::ssize(batch.forest.ids);
    counts.targets += std::ssize(batch.targets);
  }
  return counts;
}

}  // namespace d2c::eval
