#include "d2c/eval/batch.hpp"

#include <algorithm>
#include <numeric>

#include "d2c/core/error.hpp"

namespace d2c::eval {
namespace {

/// The tokens of an example that are computed: all but the last.
std::span<const std::int32_t> computed_ids(const Example& example) {
  return std::span(example.ids).first(example.ids.size() - 1);
}

Index common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

/// Builds the prefix tree of lexicographically sorted sequences, segment by segment, depth first.
class ForestBuilder {
 public:
  ForestBuilder(std::span<const Example> examples, std::span<const Index> sorted)
      : examples_(examples), sorted_(sorted), rows_(sorted.size()) {}

  void build(model::TokenForest& forest) { branch(forest, 0, sorted_.size(), 0, -1); }

  /// Row of every computed token, per example in sorted order.
  [[nodiscard]] const std::vector<std::vector<Index>>& rows() const { return rows_; }

 private:
  [[nodiscard]] std::span<const std::int32_t> ids(std::size_t i) const {
    return computed_ids(examples_[static_cast<std::size_t>(sorted_[i])]);
  }

  /// Sequences [first, last) agree on their first `depth` tokens.
  void branch(model::TokenForest& forest, std::size_t first, std::size_t last, Index depth,
              Index parent) {
    // Sorted order puts sequences that end here first.
    while (first < last && std::ssize(ids(first)) == depth) ++first;
    while (first < last) {
      const std::int32_t token = ids(first)[static_cast<std::size_t>(depth)];
      std::size_t end = first + 1;
      while (end < last && ids(end)[static_cast<std::size_t>(depth)] == token) ++end;
      // The first and the last of a sorted group share exactly what all of them share.
      grow(forest, first, end, depth, common_prefix(ids(first), ids(end - 1)), parent);
      first = end;
    }
  }

  void grow(model::TokenForest& forest, std::size_t first, std::size_t last, Index depth,
            Index depth_end, Index parent) {
    const auto segment = std::ssize(forest.segments);
    const auto begin = std::ssize(forest.ids);
    const auto tokens = ids(first).subspan(static_cast<std::size_t>(depth),
                                           static_cast<std::size_t>(depth_end - depth));
    forest.ids.insert(forest.ids.end(), tokens.begin(), tokens.end());
    forest.segments.push_back({begin, begin + (depth_end - depth), parent, depth});
    for (std::size_t i = first; i < last; ++i) {
      for (Index row = begin; row < std::ssize(forest.ids); ++row) rows_[i].push_back(row);
    }
    branch(forest, first, last, depth_end, segment);
  }

  std::span<const Example> examples_;
  std::span<const Index> sorted_;
  std::vector<std::vector<Index>> rows_;
};

Batch pack_one(std::span<const Example> examples, std::span<const Index> sorted, LossOn loss_on) {
  Batch batch;
  ForestBuilder builder(examples, sorted);
  builder.build(batch.forest);
  batch.target_begin.push_back(0);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Example& example = examples[static_cast<std::size_t>(sorted[i])];
    const Index first = loss_on == LossOn::response ? example.prompt_len : 1;
    for (Index p = first; p < std::ssize(example.ids); ++p) {
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
  std::vector<Index> sorted(examples.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(), [&](Index a, Index b) {
    return std::ranges::lexicographical_compare(
        computed_ids(examples[static_cast<std::size_t>(a)]),
        computed_ids(examples[static_cast<std::size_t>(b)]));
  });

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
