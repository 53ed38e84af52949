#pragma once

#include <algorithm>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/linear.hpp"

#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

/// The walk over the logits z = h W^T (+ the update), soft-capped if the model caps them.
namespace d2c::ops {

inline constexpr Index logit_rows = 264;
inline constexpr Index logit_columns = 1024;  // a multiple of 16

/// Calls visit(z, row, first) with blocks z [rows, columns] of the logits, from row `row` and token
/// `first` on. The vocabulary is outside: W, which is larger than any cache, is read once.
/// @param cap     z becomes cap tanh(z / cap); 0 = it stays
/// @param u       [n, rank] h A^T of the update; not looked at where it is empty
/// @param logits  workspace for a block
template <class Visit>
void for_each_logit_block(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                          const LowRankUpdate& update, float cap, ConstRows u,
                          AlignedFloats& logits, Visit visit) {
  grow_to(logits,
          static_cast<std::size_t>(std::min(logit_rows, h.n) * std::min(logit_columns, w.d_out())));
  for (Index first = 0; first < w.d_out(); first += logit_columns) {
    const Index count = std::min(logit_columns, w.d_out() - first);
    for (Index row = 0; row < h.n; row += logit_rows) {
      const Index n = std::min(logit_rows, h.n - row);
      const Rows z{logits.data(), n, count, count};
      linear(threads, h.rows(row, n), w.rows(first, count), z);
      if (!update.empty()) update.expand_columns(threads, u.rows(row, n), first, z);
      if (cap > 0.0F) {
        constexpr Index work_per_element = 16;
        const auto soft_cap = vector_kernels().loops.soft_cap;
        parallel_for(threads, n, n * count * work_per_element,
                     [&](Index i) { soft_cap(z.row(i), count, cap); });
      }
      visit(z, row, first);
    }
  }
}

}  // namespace d2c::ops
