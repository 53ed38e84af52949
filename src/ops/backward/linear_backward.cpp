#include <algorithm>

#include "d2c/ops/backward.hpp"

#include "panel/panel_kernel.hpp"
#include "panel/panel_order.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index column_block = 1024;  // columns of W at a time: 2.6 MB with block_depth rows

/// Rows [row, row + depth) and columns [column, column + count) of W, as panels of 16 columns with
/// `depth` rows each; columns that fill up the last panel are zero.
template <class Value>
void transpose_block(const PackedMatrix& w, Index row, Index depth, Index column, Index count,
                     float* to) {
  using Order = PanelOrder<Value>;
  for (Index k = 0; k < depth; k += panel_width) {
    const Value* panel = w.panels<Value>() + (row + k) / panel_width * w.panel_stride();
    const Index lanes = std::min(panel_width, depth - k);
    for (Index j = 0; j < count; j += panel_width) {
      float* block = to + j * depth + k * panel_width;
      const Index width = std::min(panel_width, count - j);
      for (Index lane = 0; lane < lanes; ++lane) {
        float* values = block + lane * panel_width;
        for (Index i = 0; i < width; ++i) {
          values[i] = Order::value(panel[Order::place(column + j + i, lane)]);
        }
        std::fill(values + width, values + panel_width, 0.0F);
      }
    }
  }
}

}  // namespace

void LinearBackward::multiply(ThreadTeam& threads, ConstRows dy, const PackedMatrix& w, Rows dx,
                              bool add) {
  D2C_EXPECTS(dy.width == w.d_out() && dx.width == w.d_in() && dy.n == dx.n);
  if (dy.n == 0) return;
  blocks_.resize(static_cast<std::size_t>(threads.size()));
  const Index depth = std::min(block_depth, n_panels(w.d_out()) * panel_width);
  // Threads share the columns.
  const Index columns =
      std::min(column_block, n_panels(ceil_div(w.d_in(), threads.size())) * panel_width);
  for (AlignedFloats& block : blocks_) {
    grow_to(block, static_cast<std::size_t>(depth * columns));
  }
  parallel_for(threads, ceil_div(w.d_in(), columns), dy.n * w.d_in() * w.d_out(),
               [&](Index task, int thread) {
                 float* block = blocks_[static_cast<std::size_t>(thread)].data();
                 const Index column = task * columns;
                 PanelProduct<float> product;
                 product.m = dy.n;
                 product.n = std::min(columns, w.d_in() - column);
                 product.lda = dy.stride;
                 product.b = block;
                 product.c = dx.data + column;
                 product.ldc = dx.stride;
                 for (Index row = 0; row < w.d_out(); row += depth) {
                   product.k = std::min(depth, w.d_out() - row);
                   if (w.format() == WeightFormat::bf16) {
                     transpose_block<BFloat16>(w, row, product.k, column, product.n, block);
                   } else {
                     transpose_block<float>(w, row, product.k, column, product.n, block);
                   }
                   product.a = dy.data + row;
                   product.panel_stride = product.k * panel_width;
                   product.store = add || row > 0 ? Store::add : Store::overwrite;
                   multiply_panels(product);
                 }
               });
}

std::size_t LinearBackward::workspace_bytes(Index n_threads) {
  return static_cast<std::size_t>(n_threads * block_depth * column_block) * sizeof(float);
}

std::size_t LinearBackward::held_bytes() const {
  std::size_t bytes = 0;
  for (const AlignedFloats& block : blocks_) bytes += ops::held_bytes(block);
  return bytes;
}

void FactorGradient::operator()(ConstRows g, ConstRows x, float scale, Rows c) {
  D2C_EXPECTS(g.n == x.n && c.n == g.width && c.width == x.width);
  if (g.n == 0) return;
  grow_to(left_, static_cast<std::size_t>(g.width * g.n));
  for (Index t = 0; t < g.n; ++t) {
    for (Index r = 0; r < g.width; ++r)
      left_[static_cast<std::size_t>(r * g.n + t)] = scale * g.row(t)[r];
  }
  grow_to(panels_, static_cast<std::size_t>(g.n * columns_at_a_time));
  for (Index column = 0; column < x.width; column += columns_at_a_time) {
    const Index count = std::min(columns_at_a_time, x.width - column);
    for (Index j = 0; j < count; j += panel_width) {
      const Index width = std::min(panel_width, count - j);
      for (Index t = 0; t < x.n; ++t) {
        const float* from = x.row(t) + column + j;
        float* to = panels_.data() + j * x.n + t * panel_width;
        std::fill(std::copy(from, from + width, to), to + panel_width, 0.0F);
      }
    }
    PanelProduct<float> product;
    product.m = g.width;
    product.n = count;
    product.lda = g.n;
    product.b = panels_.data();
    product.panel_stride = x.n * panel_width;
    product.c = c.data + column;
    product.ldc = c.stride;
    product.store = Store::add;
    // Chains of the length that blocks have, added to each other.
    for (Index k = 0; k < g.n; k += block_depth) {
      product.k = std::min(block_depth, g.n - k);
      product.a = left_.data() + k;
      product.b = panels_.data() + k * panel_width;
      multiply_panels(product);
    }
  }
}

}  // namespace d2c::ops
