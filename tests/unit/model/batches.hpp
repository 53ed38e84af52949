#pragma once

#include <cstdint>
#include <vector>

#include "d2c/model/token_forest.hpp"
#include "d2c/ops/thread_team.hpp"

namespace d2c::test {

/// For passes that nobody helps.
inline ops::ThreadTeam one_thread;

/// Batches built by hand for the tests of the forward pass.
struct TestBatch {
  model::TokenForest forest;
  std::vector<model::Target> targets;
};

using Ids = std::vector<std::int32_t>;

/// Appends a segment that continues `parent` (-1 = none). @return its index
inline Index add_segment(model::TokenForest& forest, const Ids& ids, Index parent = -1) {
  model::Segment segment;
  segment.begin = std::ssize(forest.ids);
  segment.end = segment.begin + std::ssize(ids);
  segment.parent = parent;
  if (parent >= 0) {
    const model::Segment& above = forest.segments[static_cast<std::size_t>(parent)];
    segment.first_position = above.first_position + above.length();
  }
  forest.ids.insert(forest.ids.end(), ids.begin(), ids.end());
  forest.segments.push_back(segment);
  return std::ssize(forest.segments) - 1;
}

/// Appends one sequence, of which ids[first_label ..] are predicted.
inline void add_sequence(TestBatch& batch, const Ids& ids, Index first_label = 1) {
  const Index begin = std::ssize(batch.forest.ids);
  add_segment(batch.forest, Ids(ids.begin(), ids.end() - 1));
  for (Index i = first_label; i < std::ssize(ids); ++i) {
    batch.targets.push_back({begin + i - 1, ids[static_cast<std::size_t>(i)]});
  }
}

}  // namespace d2c::test
