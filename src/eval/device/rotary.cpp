#include "device/rotary.hpp"

#include "d2c/ops/rope.hpp"

namespace d2c::eval::device {

Rotary::Rotary(Memory& memory, const model::ModelConfig& config) {
  for (const model::RopeConfig& rope : config.ropes) {
    const bool has_long = !rope.long_frequencies.empty();
    for (const auto& frequencies :
         {rope.inverse_frequencies, has_long ? rope.long_frequencies : rope.inverse_frequencies}) {
      tables_.push_back(
          {frequencies, rope.attention_factor, Array<float>(memory), Array<float>(memory), 0});
    }
  }
}

std::size_t Rotary::index(std::size_t rope, bool is_long) const {
  return 2 * rope + (is_long ? 1 : 0);
}

void Rotary::extend_to(Index n, bool is_long) {
  constexpr Index granule = 1024;
  n = (n + granule - 1) / granule * granule;
  for (std::size_t rope = 0; 2 * rope < tables_.size(); ++rope) {
    Stored& table = tables_[index(rope, is_long)];
    if (table.n >= n) continue;
    ops::RotaryTable on_host(table.frequencies, table.factor);
    on_host.extend_to(n);
    table.cos.assign(on_host.cos());
    table.sin.assign(on_host.sin());
    table.n = n;
  }
}

Rotary::Table Rotary::of(const model::LayerKind& kind, bool is_long) const {
  if (kind.rope == model::no_rope) return {};
  const Stored& table = tables_[index(static_cast<std::size_t>(kind.rope), is_long)];
  return {table.cos.data(), table.sin.data(), std::ssize(table.frequencies)};
}

}  // namespace d2c::eval::device
