#include "d2c/eval/row_counts.hpp"

#include <algorithm>
#include <map>

namespace d2c::eval {

std::vector<float> row_counts(const Batch& batch) {
  // The row that the last token of each example is predicted from.
  std::map<Index, std::pair<Index, Index>> last;  // by example: scored token, row
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    auto& of_example = last.try_emplace(batch.places[i].example, -1, 0).first->second;
    of_example = std::max(of_example, std::pair(batch.places[i].scored, batch.targets[i].row));
  }
  const auto& segments = batch.forest.segments;
  std::vector<float> counts(batch.forest.ids.size(), 0.0F);
  for (const auto& [example, place] : last) {
    Index end = place.second + 1;
    auto segment = std::ranges::find_if(
        segments, [&](const model::Segment& s) { return s.begin < end && end <= s.end; });
    while (true) {
      for (Index row = segment->begin; row < end; ++row) counts[static_cast<std::size_t>(row)] += 1;
      if (segment->parent < 0) break;
      segment = segments.begin() + segment->parent;
      end = segment->end;
    }
  }
  return counts;
}

}  // namespace d2c::eval
