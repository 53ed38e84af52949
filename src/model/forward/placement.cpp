#include "forward/placement.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/ops/aligned.hpp"

namespace d2c::model {

void check_token(std::int32_t token, Index vocab_size) {
  if (token >= 0 && token < vocab_size) return;
  throw InputError({{}, fmt::format("token {}", token)},
                   {"is outside the model's vocabulary",
                    fmt::format("ids from 0 to {} are known", vocab_size - 1),
                    "check that tokenizer and model belong together"});
}

void check_forest(const ModelConfig& config, const TokenForest& forest,
                  std::span<const Target> targets) {
  for (const std::int32_t id : forest.ids) check_token(id, config.vocab_size);
  for (const Target& target : targets) {
    D2C_EXPECTS(target.row >= 0 && target.row < std::ssize(forest.ids));
    check_token(target.label, config.vocab_size);
  }
  [[maybe_unused]] const auto end_before = [&](Index s) {
    return s == 0 ? Index{0} : forest.segments[static_cast<std::size_t>(s - 1)].end;
  };
  for (Index s = 0; s < std::ssize(forest.segments); ++s) {
    const Segment& segment = forest.segments[static_cast<std::size_t>(s)];
    D2C_EXPECTS(segment.begin == end_before(s) && segment.end > segment.begin &&
                segment.parent < s);
    const Index end = segment.first_position + segment.length();
    if (!forest.is_long && config.short_until() > 0 && end > config.short_until()) {
      throw InputError({}, {fmt::format("a sequence has {} tokens", end),
                            fmt::format("the positions of more than {} are scaled in another way",
                                        config.short_until()),
                            "shorten the example"});
    }
    for (const RopeConfig& rope : config.ropes) {
      if (rope.longest == 0 || end <= rope.longest) continue;
      throw InputError({},
                       {fmt::format("a sequence has {} tokens", end),
                        fmt::format("the dynamic scaling of positions is supported up to {} tokens",
                                    rope.longest),
                        "shorten the example"});
    }
  }
  D2C_EXPECTS(end_before(std::ssize(forest.segments)) == std::ssize(forest.ids));
}

void Placement::place(const TokenForest& forest, std::span<const Index> rows) {
  positions.clear();
  positions.reserve(forest.ids.size());
  for (const Segment& segment : forest.segments) {
    for (Index i = 0; i < segment.length(); ++i) {
      positions.push_back(segment.first_position + i);
    }
  }
  all_rows.resize(positions.size());
  std::iota(all_rows.begin(), all_rows.end(), Index{0});
  target_rows.assign(rows.begin(), rows.end());
  std::ranges::sort(target_rows);
  target_rows.erase(std::unique(target_rows.begin(), target_rows.end()), target_rows.end());
}

Index Placement::target_row(Index row) const {
  return std::ranges::lower_bound(target_rows, row) - target_rows.begin();
}

std::size_t Placement::held_bytes() const {
  return ops::held_bytes(positions) + ops::held_bytes(all_rows) + ops::held_bytes(target_rows);
}

}  // namespace d2c::model
