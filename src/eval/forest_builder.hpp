#pragma once

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "d2c/eval/batch.hpp"

namespace d2c::eval {

/// The tokens of an example that are computed: all but the last.
inline std::span<const std::int32_t> computed_ids(const Example& example) {
  return std::span(example.ids).first(example.ids.size() - 1);
}

inline Index common_prefix(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
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

/// Indices of examples, in lexicographic order of their computed tokens.
inline std::vector<Index> sorted_examples(std::span<const Example> examples) {
  std::vector<Index> sorted(examples.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(), [&](Index a, Index b) {
    return std::ranges::lexicographical_compare(
        computed_ids(examples[static_cast<std::size_t>(a)]),
        computed_ids(examples[static_cast<std::size_t>(b)]));
  });
  return sorted;
}

/// Position of the first token that is scored.
inline Index first_scored(const Example& example, LossOn loss_on) {
  return loss_on == LossOn::response ? example.prompt_len : 1;
}

}  // namespace d2c::eval
