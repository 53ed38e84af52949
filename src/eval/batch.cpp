#include "d2c/eval/batch.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <optional>

#include "d2c/core/error.hpp"

#include "forest_builder.hpp"

namespace d2c::eval {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// All examples as one forest, and the batches that first and last need each of its segments.
class WholeForest {
 public:
  /// @param sorted    indices of examples, lexicographically sorted
  /// @param batch_of  [examples]
  WholeForest(std::span<const Example> examples, std::vector<Index> sorted,
              std::span<const int> batch_of)
      : examples_(examples), sorted_(std::move(sorted)), builder_(examples_, sorted_) {
    builder_.build(forest_);
    segment_of_.resize(forest_.ids.size());
    for (Index s = 0; s < std::ssize(forest_.segments); ++s)
      for (Index row = forest_.segments[at(s)].begin; row < forest_.segments[at(s)].end; ++row)
        segment_of_[at(row)] = s;
    first_.assign(forest_.segments.size(), std::numeric_limits<int>::max());
    last_.assign(forest_.segments.size(), -1);
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      const int batch = batch_of[at(sorted_[i])];
      for (const Index row : builder_.rows()[i]) {
        const auto segment = at(segment_of_[at(row)]);
        first_[segment] = std::min(first_[segment], batch);
        last_[segment] = std::max(last_[segment], batch);
      }
    }
  }

  [[nodiscard]] Batch batch(int index, LossOn loss_on) const {
    Batch batch;
    std::vector<Index> place(forest_.segments.size(), -1);  // index in the forest of the batch
    // What was kept, in the order in which it was computed; then what is to be kept.
    for (int earlier = 0; earlier < index; ++earlier) add(batch, place, earlier, true);
    batch.n_kept = std::ssize(batch.forest.ids);
    add(batch, place, index, true);
    batch.n_to_keep = std::ssize(batch.forest.ids);
    add(batch, place, index, false);
    for (std::size_t i = 0; i < sorted_.size(); ++i) {
      const Example& example = examples_[at(sorted_[i])];
      const Index begin = first_scored(example, loss_on);
      for (Index p = begin; p < std::ssize(example.ids); ++p) {
        const Index row = builder_.rows()[i][at(p - 1)];
        const Index segment = segment_of_[at(row)];
        if (first_[at(segment)] != index) continue;
        const Index begin_here = batch.forest.segments[at(place[at(segment)])].begin;
        batch.targets.push_back(
            {begin_here + row - forest_.segments[at(segment)].begin, example.ids[at(p)]});
        batch.places.push_back({sorted_[i], p - begin});
      }
    }
    return batch;
  }

 private:
  /// Adds the segments that a batch is the first to need, those that others continue or the rest.
  void add(Batch& batch, std::vector<Index>& place, int first, bool continued) const {
    model::TokenForest& to = batch.forest;
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

/// Which examples a batch holds.
struct Members {
  int part = 0;
  std::vector<Index> examples;  ///< in lexicographic order
};

/// Divides examples among batches, greedily within each part.
/// @param sorted  indices of the examples, in lexicographic order
std::vector<Members> divide(std::span<const Example> examples, std::span<const Index> sorted,
                            std::span<const int> part_of, Index max_tokens) {
  std::vector<Members> batches;
  const int n_parts = 1 + *std::ranges::max_element(part_of);
  for (int part = 0; part < n_parts; ++part) {
    Index tokens = 0;
    bool is_first = true;
    for (const Index e : sorted) {
      if (part_of[at(e)] != part) continue;
      const auto ids = computed_ids(examples[at(e)]);
      Index more = std::ssize(ids);
      if (!is_first) {
        more -= common_prefix(computed_ids(examples[at(batches.back().examples.back())]), ids);
      }
      if (is_first || tokens + more > max_tokens) {
        batches.push_back({part, {}});
        tokens = std::ssize(ids);
        is_first = false;
      } else {
        tokens += more;
      }
      batches.back().examples.push_back(e);
    }
  }
  return batches;
}

}  // namespace

std::vector<Batch> pack_parts(std::span<const Example> examples, std::span<const int> part_of,
                              LossOn loss_on, Index max_tokens, SharedTokens shared) {
  D2C_EXPECTS(max_tokens > 0 && part_of.size() == examples.size());
  if (examples.empty()) return {};
  const std::vector<Index> sorted = sorted_examples(examples);
  std::vector<Members> members = divide(examples, sorted, part_of, max_tokens);
  std::vector<int> batch_of(examples.size(), 0);
  std::optional<WholeForest> whole;
  if (shared == SharedTokens::kept) {
    for (std::size_t b = 0; b < members.size(); ++b) {
      for (const Index e : members[b].examples) batch_of[at(e)] = static_cast<int>(b);
    }
    whole.emplace(examples, sorted, batch_of);
  }
  std::vector<Batch> batches;
  batches.reserve(members.size());
  for (std::size_t b = 0; b < members.size(); ++b) {
    Batch& batch = batches.emplace_back(
        whole ? whole->batch(static_cast<int>(b), loss_on)
              : WholeForest(examples, members[b].examples, batch_of).batch(0, loss_on));
    batch.part = members[b].part;
    batch.examples = std::move(members[b].examples);
    std::ranges::sort(batch.examples);
  }
  return batches;
}

std::vector<Batch> pack(std::span<const Example> examples, LossOn loss_on, Index max_tokens) {
  return pack_parts(examples, std::vector<int>(examples.size(), 0), loss_on, max_tokens,
                    SharedTokens::again);
}

TokenCounts count_tokens(std::span<const Example> examples, std::span<const Batch> batches) {
  TokenCounts counts;
  for (const Example& example : examples) counts.total += std::ssize(example.ids);
  for (const Batch& batch : batches) {
    counts.computed += batch.n_computed();
    counts.targets += std::ssize(batch.targets);
  }
  return counts;
}

void add_losses(std::span<const Batch> batches, std::span<const double> nll, TokenLosses& losses) {
  std::size_t target = 0;
  for (const Batch& batch : batches) {
    for (const auto& [example, scored] : batch.places) {
      losses.resize(std::max(losses.size(), at(example) + 1));
      std::vector<double>& of_example = losses[at(example)];
      of_example.resize(std::max(of_example.size(), at(scored) + 1));
      of_example[at(scored)] = nll[target++];
    }
  }
  D2C_EXPECTS(target == nll.size());
}

double mean_token_loss(std::span<const double> token_losses) {
  D2C_EXPECTS(!token_losses.empty());
  return std::accumulate(token_losses.begin(), token_losses.end(), 0.0) /
         static_cast<double>(token_losses.size());
}

std::vector<double> example_losses(std::span<const Batch> batches, std::span<const double> nll,
                                   Index n_examples) {
  TokenLosses losses;
  add_losses(batches, nll, losses);
  D2C_EXPECTS(std::ssize(losses) == n_examples);
  std::vector<double> means;
  means.reserve(losses.size());
  for (const auto& of_example : losses) means.push_back(mean_token_loss(of_example));
  return means;
}

}  // namespace d2c::eval
