#include "d2c/ops/linear.hpp"

#include <algorithm>

#include "panel/panel_kernel.hpp"
#include "panel/panel_order.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

/// Length of the chains of multiply-adds that a sum over d_in is made of: as equal as they can be.
Index chain_length(Index d_in) {
  const Index chains = std::max(ceil_div(d_in, block_depth), Index{1});
  return ceil_div(ceil_div(d_in, chains), panel_width) * panel_width;
}

/// How a product is divided into tasks: tiles of rows and pairs of panels (the widest kernels work
/// on two), each spread evenly. No bit of the result depends on it.
struct Division {
  Index tiles = 0;
  Index row_blocks = 1;
  Index pairs = 0;
  Index column_blocks = 1;

  [[nodiscard]] Index first_row(Index block) const {
    return tiles * block / row_blocks * tile_rows;
  }
  [[nodiscard]] Index first_panel(Index block) const { return pairs * block / column_blocks * 2; }

  /// Time that n threads need, in products of a tile and a pair.
  [[nodiscard]] double time(Index n_threads) const {
    // A task copies its rows, and fetches its panels from far.
    constexpr double copy = 0.5;
    constexpr double fetch = 1.0;
    return static_cast<double>(ceil_div(row_blocks * column_blocks, n_threads)) *
           (static_cast<double>(ceil_div(tiles, row_blocks)) + fetch) *
           (static_cast<double>(ceil_div(pairs, column_blocks)) + copy);
  }
};

/// The division that takes the least time, of those with one to four tasks for each thread.
Division for_threads(const Division& least, Index n_threads) {
  constexpr Index most_tasks = 4;
  Division best = least;
  Division d = least;
  for (; d.row_blocks <= std::min(d.tiles, least.row_blocks + most_tasks * n_threads);
       ++d.row_blocks) {
    for (Index tasks = 1; tasks <= most_tasks; ++tasks) {
      d.column_blocks = std::clamp(tasks * n_threads / d.row_blocks, least.column_blocks, d.pairs);
      if (d.time(n_threads) < best.time(n_threads)) best = d;
    }
  }
  return best;
}

Division divide(Index rows, const PackedMatrix& w, Index n_threads) {
  Division d{.tiles = ceil_div(rows, tile_rows), .pairs = ceil_div(n_panels(w.d_out()), 2)};
  d.row_blocks = ceil_div(d.tiles, block_rows / tile_rows);
  if (w.d_in() > block_depth && d.row_blocks > 1) {
    // Where y is walked several times, a part of it that stays in the cache at a time.
    constexpr Index pairs_in_cache = 32;
    d.column_blocks = ceil_div(d.pairs, pairs_in_cache);
  }
  return n_threads > 1 ? for_threads(d, n_threads) : d;
}

/// @param multiply_part  computes a PanelProduct<Value>
template <class Value, class MultiplyPart>
void multiply_by(ThreadTeam& threads, ConstRows x, const PackedMatrix& w, Rows y, bool add,
                 MultiplyPart multiply_part) {
  const Index depth = chain_length(w.d_in());
  const Division d = divide(x.n, w, threads.size());
  parallel_for(
      threads, d.row_blocks * d.column_blocks, x.n * w.d_in() * w.d_out(), [&](Index task) {
        const Index row_block = task / d.column_blocks;
        const Index column_block = task % d.column_blocks;
        const Index row = d.first_row(row_block);
        const Index panel = d.first_panel(column_block);
        const Index column = panel * panel_width;
        PanelProduct<Value> product;
        product.m = std::min(d.first_row(row_block + 1), x.n) - row;
        product.n = std::min(d.first_panel(column_block + 1) * panel_width, w.d_out()) - column;
        product.lda = x.stride;
        product.panel_stride = w.panel_stride();
        product.c = y.row(row) + column;
        product.ldc = y.stride;
        // Chains are added to each other: smaller rounding errors than those of one long chain.
        for (Index k = 0; k < w.d_in(); k += depth) {
          product.k = std::min(depth, w.d_in() - k);
          product.a = x.row(row) + k;
          product.b = w.panels<Value>() + panel * w.panel_stride() + k * panel_width;
          product.store = add || k > 0 ? Store::add : Store::overwrite;
          multiply_part(product);
        }
      });
}

void multiply(ThreadTeam& threads, ConstRows x, const PackedMatrix& w, Rows y, bool add) {
  D2C_EXPECTS(x.width == w.d_in() && y.width == w.d_out() && x.n == y.n);
  if (x.n == 0) return;
  if (w.arithmetic() == Arithmetic::bf16) {
    multiply_by<BFloat16>(threads, x, w, y, add, multiply_panels_in_bf16);
  } else if (w.format() == WeightFormat::bf16) {
    multiply_by<BFloat16>(threads, x, w, y, add, multiply_panels<BFloat16>);
  } else {
    multiply_by<float>(threads, x, w, y, add, multiply_panels<float>);
  }
}

}  // namespace

void linear(ThreadTeam& threads, ConstRows x, const PackedMatrix& w, Rows y) {
  multiply(threads, x, w, y, false);
}
void add_linear(ThreadTeam& threads, ConstRows x, const PackedMatrix& w, Rows y) {
  multiply(threads, x, w, y, true);
}

std::size_t linear_scratch_bytes() {
  return static_cast<std::size_t>(block_rows * block_stride<float>) * sizeof(float);
}

/// Packs scaling B. @param scaled  scratch [panel_width, r]
void LowRankUpdate::pack_scaled(const Part& part, std::span<float> panels, float* scaled) {
  const Index r = part.b.width;
  for (Index first = 0; first < part.b.n; first += panel_width) {
    const Index count = std::min(panel_width, part.b.n - first);
    for (Index i = 0; i < count; ++i) {
      std::transform(part.b.row(first + i), part.b.row(first + i) + r, scaled + i * r,
                     [&](float value) {
                       return static_cast<float>(part.scaling * static_cast<double>(value));
                     });
    }
    pack_rows({scaled, count, r, r}, first, part.b.n, panels);
  }
}

LowRankUpdate::LowRankUpdate(ThreadTeam& threads, std::span<const Part> parts) {
  if (parts.empty()) return;
  const Index d_in = parts.front().a.width;
  Index rank = 0;
  std::size_t floats = 0;
  for (const Part& part : parts) {
    D2C_EXPECTS(part.a.width == d_in && part.b.width == part.a.n);
    rank += part.a.n;
    floats += packed_floats(part.b.n, part.a.n);
  }
  const std::size_t a_floats = packed_floats(rank, d_in);
  storage_.resize(a_floats + floats);
  a_ = PackedMatrix(rank, d_in, storage_.data());

  Index first_rank = 0;
  std::size_t offset = a_floats;
  for (const Part& part : parts) {
    const Index r = part.a.n;
    parts_.push_back({first_rank, part.column, PackedMatrix(part.b.n, r, storage_.data() + offset),
                      part.scaling});
    first_rank += r;
    offset += packed_floats(part.b.n, r);
  }
  AlignedFloats scaled(static_cast<std::size_t>(panel_width * rank));
  constexpr Index work_per_float = 32;
  const auto work = static_cast<Index>(storage_.size()) * work_per_float;
  parallel_for(threads, 2 * std::ssize(parts), work, [&](Index task) {
    const auto index = static_cast<std::size_t>(task / 2);
    const Part& part = parts[index];
    const Packed& packed = parts_[index];
    if (task % 2 == 0) {
      pack_rows(part.a, packed.first_rank, rank, std::span(storage_).first(a_floats));
    } else {
      const std::size_t begin = static_cast<std::size_t>(packed.b.panels() - storage_.data());
      pack_scaled(part, std::span(storage_).subspan(begin, packed_floats(part.b.n, part.a.n)),
                  scaled.data() + packed.first_rank * panel_width);
    }
  });
}

void LowRankUpdate::project(ThreadTeam& threads, ConstRows x, Rows u) const {
  linear(threads, x, a_, u);
}

void LowRankUpdate::project_one_hot(std::span<const std::int32_t> ids, Rows u) const {
  D2C_EXPECTS(std::ssize(ids) == u.n && u.width == rank());
  for (Index t = 0; t < u.n; ++t) {
    const Index column = ids[static_cast<std::size_t>(t)];
    D2C_EXPECTS(column >= 0 && column < a_.d_in());
    for (Index r = 0; r < u.width; r += panel_width) {
      const float* from = a_.panels() + (r * a_.d_in() + column * panel_width);
      std::copy_n(from, std::min(panel_width, u.width - r), u.row(t) + r);
    }
  }
}

void LowRankUpdate::expand(ThreadTeam& threads, ConstRows u, Rows y) const {
  for (const Packed& part : parts_) {
    add_linear(threads, u.columns(part.first_rank, part.b.d_in()), part.b,
               y.columns(part.column, part.b.d_out()));
  }
}

void LowRankUpdate::expand_columns(ThreadTeam& threads, ConstRows u, Index first, Rows y) const {
  D2C_EXPECTS(parts_.size() == 1 && parts_.front().column == 0);
  add_linear(threads, u, parts_.front().b.rows(first, y.width), y);
}

}  // namespace d2c::ops
