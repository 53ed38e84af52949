#include "d2c/eval/steps.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "d2c/core/error.hpp"

#include "forest_builder.hpp"

namespace d2c::eval {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// All examples as one forest, and the steps that first and last need each of its segments.
class WholeForest {
 public:
  /// @param sorted   indices of examples, lexicographically sorted
  /// @param step_of  [examples]
  WholeForest(std::span<const Example> examples, std::vector<Index> sorted,
              std::span<const int> step_of)
      : examples_(examples), sorted_(std::move(sorted)), builder_(examples_, sorted_) {
    builder_.build(forest_);
    segment_of_.resize(forest_.ids.size());
    for (Index s = 0; s < std::ssize(forest_.segments); ++s)
      for (Index row = forest_.segments[at(s)].begin; row < forest_.segments[at(s)].end; ++row)
        segment_of_[at(row)] = s;
    first_.assign(forest_.segments.size(), std::numeric_limits<int>::max());
    last_.assign(forest_.segments.size(), -1);
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      const int step = step_of[at(sorted_[i])];
      for (const Index row : builder_.rows()[i]) {
        const auto segment = at(segment_of_[at(row)]);
        first_[segment] = std::min(first_[segment], step);
        last_[segment] = std::max(last_[segment], step);
      }
    }
  }

  [[nodiscard]] Step step(int index, LossOn loss_on) const {
    Step step;
    std::vector<Index> place(forest_.segments.size(), -1);  // index in the forest of the step
    // What was kept, in the order in which it was computed; then what is to be kept.
    for (int earlier = 0; earlier < index; ++earlier) add(step, place, earlier, true);
    step.n_kept = std::ssize(step.forest.ids);
    add(step, place, index, true);
    step.n_to_keep = std::ssize(step.forest.ids);
    add(step, place, index, false);
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      const Example& example = examples_[at(sorted_[i])];
      const Index begin = first_scored(example, loss_on);
      for (Index p = begin; p < std::ssize(example.ids); ++p) {
        const Index row = builder_.rows()[i][at(p - 1)];
        const Index segment = segment_of_[at(row)];
        if (first_[at(segment)] != index) continue;
        const Index begin_here = step.forest.segments[at(place[at(segment)])].begin;
        step.targets.push_back(
            {begin_here + row - forest_.segments[at(segment)].begin, example.ids[at(p)]});
        step.places.push_back({sorted_[i], p - begin});
      }
    }
    return step;
  }

 private:
  /// Adds the segments that a step is the first to need, those that others continue or the rest.
  void add(Step& step, std::vector<Index>& place, int first, bool continued) const {
    model::TokenForest& to = step.forest;
    for (std::size_t s = 0; s < forest_.segments.size(); ++s) {
      if (first_[s] != first || (last_[s] > first_[s]) != continued) continue;
      model::Segment segment = forest_.segments[s];
      const auto begin = std::ssize(to.ids);
      to.ids.insert(to.ids.end(), forest_.ids.begin() + segment.begin,
                    forest_.ids.begin() + segment.end);
      if (segment.parent >= 0) segment.parent = place[at(segment.parent)];
      segment.end = begin + segment.length();
      segment.begin = begin;
      place[s] = std::ssize(to.segments);
      to.segments.push_back(segment);
    }
  }

  std::span<const Example> examples_;
  std::vector<Index> sorted_;
  model::TokenForest forest_;
  ForestBuilder builder_;
  std::vector<Index> segment_of_;  ///< [rows]
  std::vector<int> first_;         ///< [segments]
  std::vector<int> last_;          ///< [segments]
};

}  // namespace

std::vector<Step> pack_steps(std::span<const Example> examples, std::span<const int> part_of,
                             LossOn loss_on, Index max_tokens, SharedTokens shared) {
  D2C_EXPECTS(max_tokens > 0 && part_of.size() == examples.size());
  if (examples.empty()) return {};
  const std::vector<Index> sorted = sorted_examples(examples);
  std::vector<int> step_of(examples.size());
  std::vector<Step> steps;
  std::vector<std::vector<Index>> members;
  const int n_parts = 1 + *std::ranges::max_element(part_of);
  for (int part = 0; part < n_parts; ++part) {
    Index tokens = 0;
    for (const Index e : sorted) {
      if (part_of[at(e)] != part) continue;
      const auto ids = computed_ids(examples[at(e)]);
      const bool is_first = steps.empty() || steps.back().part != part;
      Index more = std::ssize(ids);
      if (!is_first) more -= common_prefix(computed_ids(examples[at(members.back().back())]), ids);
      if (is_first || tokens + more > max_tokens) {
        steps.emplace_back().part = part;
        members.emplace_back();
        tokens = std::ssize(ids);
      } else {
        tokens += more;
      }
      members.back().push_back(e);
      step_of[at(e)] = static_cast<int>(steps.size()) - 1;
    }
  }
  std::optional<WholeForest> whole;
  if (shared == SharedTokens::kept) whole.emplace(examples, sorted, step_of);
  for (std::size_t s = 0; s < steps.size(); ++s) {
    const int part = steps[s].part;
    steps[s] = whole ? whole->step(static_cast<int>(s), loss_on)
                     : WholeForest(examples, members[s], std::vector<int>(examples.size(), 0))
                           .step(0, loss_on);
    steps[s].part = part;
    std::ranges::sort(members[s]);
    steps[s].examples = std::move(members[s]);
  }
  return steps;
}

}  // namespace d2c::eval
