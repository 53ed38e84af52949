#include "d2c/model/generator.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/ops/most_probable.hpp"

#include "forward/placement.hpp"
#include "forward/stack.hpp"

namespace d2c::model {
namespace {

class Generator {
 public:
  explicit Generator(const Model& model)
      : config_(model.config()),
        weights_(model.weights()),
        rotary_(config_),
        kept_(model.weights().layers.size()) {}

  std::vector<std::vector<std::int32_t>> run(ops::ThreadTeam& threads, const TokenForest& forest,
                                             std::span<const Index> ends,
                                             const GenerationLimits& limits,
                                             const PreparedAdapter* adapter) {
    D2C_EXPECTS(limits.most_tokens > 0);
    if (ends.empty()) return {};
    check_forest(config_, forest);
    is_long_ = forest.is_long;
    make_room(forest, ends, limits.most_tokens);
    start(threads, forest, ends, adapter);
    while (keep_unfinished(limits)) continue_all(threads, adapter);
    std::vector<std::vector<std::int32_t>> generated;
    for (Sequence& sequence : sequences_) generated.push_back(std::move(sequence.tokens));
    return generated;
  }

 private:
  struct Sequence {
    std::size_t segment = 0;  ///< of its generated tokens
    Index most_tokens = 0;
    std::vector<std::int32_t> tokens;
  };

  /// Segments of the prompts, and one for what follows each; places for all their keys.
  void make_room(const TokenForest& forest, std::span<const Index> ends, Index most_tokens) {
    segments_ = forest.segments;
    for (const Index end : ends) {
      const auto parent = std::ranges::lower_bound(forest.segments, end + 1, {}, &Segment::end);
      D2C_EXPECTS(parent != forest.segments.end() && parent->end == end + 1);
      const Index position = parent->first_position + parent->length();
      const Index most = std::min(most_tokens, longest() - position);
      if (most < 1) throw_full(position);
      const Index begin = segments_.back().end;
      sequences_.push_back({segments_.size(), most, {}});
      // The last token is not passed on.
      segments_.push_back({begin, begin + most - 1, parent - forest.segments.begin(), position});
    }
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      kept_[i].lay_out(attention_shape(config_, config_.kinds[i]), segments_);
    }
    for (const Sequence& sequence : sequences_) {
      segments_[sequence.segment].end = segments_[sequence.segment].begin;
    }
    unfinished_.resize(sequences_.size());
    std::iota(unfinished_.begin(), unfinished_.end(), std::size_t{0});
  }

  [[nodiscard]] Index longest() const {
    Index result = config_.max_positions;
    for (const RopeConfig& rope : config_.ropes) {
      if (rope.longest > 0) result = std::min(result, rope.longest);
    }
    // Beyond, the positions of what has passed would be others.
    const Index short_until = config_.short_until();
    return is_long_ || short_until == 0 ? result : std::min(result, short_until);
  }
  [[noreturn]] void throw_full(Index length) const {
    throw InputError({}, {fmt::format("a prompt has {} tokens", length),
                          fmt::format("the model takes {} and nothing could follow", longest()),
                          "shorten the prompt"});
  }

  void start(ops::ThreadTeam& threads, const TokenForest& forest, std::span<const Index> ends,
             const PreparedAdapter* adapter) {
    placement_.place(forest, ends);
    const ops::Rows h =
        forward(threads, forest.ids, placement_.positions, {}, placement_.target_rows, adapter);
    const std::vector<std::int32_t> next = most_probable(threads, h, adapter);
    for (std::size_t i = 0; i < sequences_.size(); ++i) {
      const Index row = placement_.target_row(ends[i]);
      sequences_[i].tokens.push_back(next[static_cast<std::size_t>(row)]);
    }
  }

  /// @return whether there are some
  bool keep_unfinished(const GenerationLimits& limits) {
    std::erase_if(unfinished_, [&](std::size_t i) {
      const Sequence& sequence = sequences_[i];
      return std::ssize(sequence.tokens) == sequence.most_tokens ||
             std::ranges::find(limits.stops, sequence.tokens.back()) != limits.stops.end();
    });
    return !unfinished_.empty();
  }

  /// Passes the last token of each unfinished sequence.
  void continue_all(ops::ThreadTeam& threads, const PreparedAdapter* adapter) {
    std::vector<std::int32_t> ids;
    std::vector<Index> positions;
    std::vector<Index> places;
    for (const std::size_t i : unfinished_) {
      Segment& segment = segments_[sequences_[i].segment];
      ids.push_back(sequences_[i].tokens.back());
      positions.push_back(segment.first_position + segment.length());
      places.push_back(segment.end++);
    }
    std::vector<Index> rows(ids.size());
    std::iota(rows.begin(), rows.end(), Index{0});
    placement_.all_rows = rows;
    const ops::Rows h = forward(threads, ids, positions, places, rows, adapter);
    const std::vector<std::int32_t> next = most_probable(threads, h, adapter);
    for (std::size_t row = 0; row < next.size(); ++row) {
      sequences_[unfinished_[row]].tokens.push_back(next[row]);
    }
  }

  ops::Rows forward(ops::ThreadTeam& threads, std::span<const std::int32_t> ids,
                    std::span<const Index> positions, std::span<const Index> places,
                    std::span<const Index> wanted, const PreparedAdapter* adapter) {
    rotary_.extend_to(*std::ranges::max_element(positions) + 1, is_long_);
    const Pass pass{.config = config_,
                    .threads = threads,
                    .rotary = rotary_,
                    .ids = ids,
                    .positions = positions,
                    .segments = segments_,
                    .places = places,
                    .kept = kept_};
    return stack_forward(pass, weights_, adapter, placement_.all_rows, wanted, activations_);
  }

  /// @param h  [rows, hidden] @return [rows]
  std::vector<std::int32_t> most_probable(ops::ThreadTeam& threads, ops::ConstRows h,
                                          const PreparedAdapter* adapter) {
    return most_probable_(threads, h, weights_.head, head_update(adapter), 1, config_.logit_cap)
        .tokens;
  }

  const ModelConfig& config_;
  const Weights& weights_;
  RotaryTables rotary_;
  Activations activations_;
  ops::MostProbable most_probable_;
  Placement placement_;
  std::vector<ops::KeyMemory> kept_;  ///< per layer
  std::vector<Segment> segments_;     ///< of the prompts, then one per sequence, as far as passed
  std::vector<Sequence> sequences_;
  std::vector<std::size_t> unfinished_;  ///< ascending
  bool is_long_ = false;                 ///< see TokenForest
};

}  // namespace

std::vector<std::vector<std::int32_t>> generate(const Model& model, ops::ThreadTeam& threads,
                                                const TokenForest& forest,
                                                std::span<const Index> ends,
                                                const GenerationLimits& limits,
                                                const PreparedAdapter* adapter) {
  return Generator(model).run(threads, forest, ends, limits, adapter);
}

}  // namespace d2c::model
