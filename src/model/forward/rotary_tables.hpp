#pragma once

#include <cstddef>
#include <vector>

#include "d2c/model/config.hpp"
#include "d2c/ops/rope.hpp"

namespace d2c::model {

/// The rotary tables of a model: for each rope that its layers choose from one for short sequences
/// and, where it differs, one for long ones.
class RotaryTables {
 public:
  explicit RotaryTables(const ModelConfig& config) {
    for (const RopeConfig& rope : config.ropes) {
      const bool has_long = !rope.long_frequencies.empty();
      tables_.push_back(
          {{rope.inverse_frequencies, rope.attention_factor},
           {has_long ? rope.long_frequencies : std::vector<double>{}, rope.attention_factor},
           has_long});
    }
  }

  /// Makes sure that positions [0, n) are there, from now on those of long or short sequences.
  void extend_to(Index n, bool is_long) {
    is_long_ = is_long;
    for (Tables& of_rope : tables_) of_rope.of(is_long).extend_to(n);
  }
  /// Null for a layer without rotary positions.
  [[nodiscard]] const ops::RotaryTable* of(const LayerKind& kind) const {
    if (kind.rope == no_rope) return nullptr;
    const Tables& of_rope = tables_.at(static_cast<std::size_t>(kind.rope));
    return is_long_ && of_rope.has_long ? &of_rope.of_long : &of_rope.of_short;
  }
  [[nodiscard]] std::size_t held_bytes() const {
    std::size_t bytes = 0;
    for (const Tables& of_rope : tables_) {
      bytes += of_rope.of_short.held_bytes() + of_rope.of_long.held_bytes();
    }
    return bytes;
  }

 private:
  struct Tables {
    ops::RotaryTable of_short;
    ops::RotaryTable of_long;
    bool has_long;

    ops::RotaryTable& of(bool is_long) { return is_long && has_long ? of_long : of_short; }
  };
  std::vector<Tables> tables_;
  bool is_long_ = false;
};

}  // namespace d2c::model
