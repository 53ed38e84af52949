#include "d2c/eval/batch.hpp"

#include <algorithm>
#include <functional>
#include <numeric>

#include "d2c/core/error.hpp"

namespace d2c::eval {
namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

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
    return computed_ids(examples_[at(sorted_[i])]);
  }

  /// Sequences [first, last) agree on their first `depth` tokens.
  void branch(model::TokenForest& forest, std::size_t first, std::size_t last, Index depth,
              Index parent) {
    // Sorted order puts sequences that end here first.
    while (first < last && std::ssize(ids(first)) == depth) ++first;
    while (first < last) {
      const std::int32_t token = ids(first)[at(depth)];
      std::size_t end = first + 1;
      while (end < last && ids(end)[at(depth)] == token) ++end;
      // The first and the last of a sorted group share exactly what all of them share.
      grow(forest, first, end, depth, common_prefix(ids(first), ids(end - 1)), parent);
      first = end;
    }
  }

  void grow(model::TokenForest& forest, std::size_t first, std::size_t last, Index depth,
            Index depth_end, Index parent) {
    const auto segment = std::ssize(forest.segments);
    const auto begin = std::ssize(forest.ids);
    const auto tokens = ids(first).subspan(at(depth), at(depth_end - depth));
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
std::vector<Index> sorted_examples(std::span<const Example> examples) {
  std::vector<Index> sorted(examples.size());
  std::iota(sorted.begin(), sorted.end(), 0);
  std::stable_sort(sorted.begin(), sorted.end(), [&](Index a, Index b) {
    return std::ranges::lexicographical_compare(computed_ids(examples[at(a)]),
                                                computed_ids(examples[at(b)]));
  });
  return sorted;
}

/// Position of the first token that is scored.
Index first_scored(const Example& example, LossOn loss_on) {
  return loss_on == LossOn::response ? example.prompt_len : 1;
}

/// @param sorted  indices of the examples of the batch, in lexicographic order
Batch batch_of(std::span<const Example> examples, std::span<const Index> sorted, LossOn loss_on) {
  Batch batch;
  ForestBuilder builder(examples, sorted);
  builder.build(batch.forest);
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Example& example = examples[at(sorted[i])];
    const Index begin = first_scored(example, loss_on);
    for (Index p = begin; p < std::ssize(example.ids); ++p) {
      batch.targets.push_back({builder.rows()[i][at(p - 1)], example.ids[at(p)]});
      batch.places.push_back({sorted[i], p - begin});
    }
  }
  return batch;
}

struct Room {
  Index max_tokens = 0;
  Index behind_each = 0;  ///< tokens that count with every example besides its own
};

std::vector<Batch> pack_into(std::span<const Example> examples, LossOn loss_on, Room room,
                             Index short_until) {
  D2C_EXPECTS(room.max_tokens > 0);
  const auto is_long = [&](Index e) {
    return short_until > 0 && std::ssize(examples[at(e)].ids) > short_until;
  };
  std::vector<Index> sorted = sorted_examples(examples);
  std::stable_partition(sorted.begin(), sorted.end(), std::not_fn(is_long));
  std::vector<std::vector<Index>> members;
  Index tokens = 0;
  for (const Index e : sorted) {
    const auto ids = computed_ids(examples[at(e)]);
    Index more = std::ssize(ids) + room.behind_each;
    if (!members.empty())
      more -= common_prefix(computed_ids(examples[at(members.back().back())]), ids);
    if (members.empty() || tokens + more > room.max_tokens ||
        is_long(e) != is_long(members.back().back())) {
      members.emplace_back();
      more = std::ssize(ids) + room.behind_each;
      tokens = 0;
    }
    tokens += more;
    members.back().push_back(e);
  }
  std::vector<Batch> batches;
  batches.reserve(members.size());
  for (const std::vector<Index>& of_batch : members) {
    batches.push_back(batch_of(examples, of_batch, loss_on));
    batches.back().forest.is_long = is_long(of_batch.front());
  }
  return batches;
}

}  // namespace

std::vector<Batch> pack(std::span<const Example> examples, LossOn loss_on, Index max_tokens,
                        Index short_until) {
  return pack_into(examples, loss_on, {max_tokens, 0}, short_until);
}

std::vector<Batch> pack_prompts(std::span<const Example> examples, Index room, Index max_tokens,
                                Index short_until) {
  std::vector<Example> prompts;
  prompts.reserve(examples.size());
  for (const Example& example : examples) {
    // The last id of an example is predicted alone.
    prompts.push_back(
        {{example.ids.begin(), example.ids.begin() + example.prompt_len + 1}, example.prompt_len});
  }
  return pack_into(prompts, LossOn::response, {max_tokens, room}, short_until);
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
