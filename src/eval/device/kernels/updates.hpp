#pragma once

#include "device/kernels/lanes.hpp"

/// The updates of adapters: rows of a pass are grouped by adapter, and cut into tiles.
namespace d2c::eval::device {

inline constexpr int tile_rows = 8;

/// Rows [first, first + count) under one adapter.
struct Tile {
  std::int32_t first = 0;
  std::int32_t count = 0;
  std::int32_t adapter = 0;  ///< index into the updates of a site
};

/// The joint update of the modules of one site by one adapter. Ranks are filled up with zeros to
/// multiples of 4.
struct Update {
  struct Part {
    std::int32_t column = 0;  ///< of the joint output
    std::int32_t width = 0;
    std::int32_t first_rank = 0;
    std::int32_t rank = 0;
    const float* b = nullptr;  ///< (scaling B)ᵀ [rank, width]
  };
  static constexpr int most_parts = 3;

  const float* a = nullptr;  ///< the A stacked, transposed [d_in, rank]
  std::int32_t rank = 0;     ///< of all parts; 0 = no update
  std::int32_t n_parts = 0;
  Part parts[most_parts];
};

/// Row i of a tile, or its last one.
[[nodiscard]] D2C_KERNEL inline Index row_of(const Tile& tile, int i) {
  return tile.first + (i < tile.count ? i : tile.count - 1);
}

/// u [rows, stride] = x Aᵀ. Tasks: tiles times blocks of 32 ranks.
struct Project {
  const Tile* tiles;
  const Update* updates;  ///< [adapters]
  Index blocks;
  Values x;  ///< [rows, d_in]
  Index d_in;
  float* u;
  Index stride;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index task) const {
    const Tile tile = tiles[task / blocks];
    const Update& update = updates[tile.adapter];
    const Index first_rank = task % blocks * n_lanes;
    if (first_rank >= update.rank) return;
    lanes.each([&](int lane) {
      const Index r = first_rank + lane;
      if (r >= update.rank) return;
      float sum[tile_rows] = {};
      for (Index d = 0; d < d_in; d += 4) {
        float a[4];
        for (int j = 0; j < 4; ++j) a[j] = update.a[(d + j) * update.rank + r];
        for (int i = 0; i < tile_rows; ++i) {
          const Float4 of_row = x.get4(row_of(tile, i) * d_in + d);
          for (int j = 0; j < 4; ++j) sum[i] += of_row.of[j] * a[j];
        }
      }
      for (int i = 0; i < tile_rows; ++i) {
        if (i < tile.count) u[(tile.first + i) * stride + r] = sum[i];
      }
    });
  }
};

/// The same for one-hot x: u = A[:, id]. Tasks: tiles.
struct ProjectOneHot {
  const Tile* tiles;
  const Update* updates;
  const std::int32_t* ids;  ///< [rows]
  float* u;
  Index stride;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index task) const {
    const Tile tile = tiles[task];
    const Update& update = updates[tile.adapter];
    for (int i = 0; i < tile.count; ++i) {
      const Index row = tile.first + i;
      lanes.spread(update.rank, [&](Index r) {
        u[row * stride + r] = update.a[Index{ids[row]} * update.rank + r];
      });
    }
  }
};

/// y[:, columns of the part] += u_part (scaling B)ᵀ for each part. Tasks: tiles times blocks of 32
/// columns.
struct Expand {
  const Tile* tiles;
  const Update* updates;
  Index blocks;
  const float* u;
  Index u_stride;
  Index first_column;  ///< y has columns [first_column, first_column + width) of the joint output
  Index width;
  float* y;

  template <class Lanes>
  D2C_KERNEL void operator()(const Lanes& lanes, Index task) const {
    const Tile tile = tiles[task / blocks];
    const Update& update = updates[tile.adapter];
    if (update.rank == 0) return;
    lanes.each([&](int lane) {
      const Index c = task % blocks * n_lanes + lane;
      if (c >= width) return;
      for (int p = 0; p < update.n_parts; ++p) {
        const Update::Part& part = update.parts[p];
        const Index column = first_column + c - part.column;
        if (column >= 0 && column < part.width) add(tile, part, column, c);
      }
    });
  }

 private:
  D2C_KERNEL void add(const Tile& tile, const Update::Part& part, Index column, Index c) const {
    float sum[tile_rows] = {};
    for (Index r = 0; r < part.rank; r += 4) {
      float b[4];
      for (int j = 0; j < 4; ++j) b[j] = part.b[(r + j) * part.width + column];
      for (int i = 0; i < tile_rows; ++i) {
        const Float4 of_row = load4(u + row_of(tile, i) * u_stride + part.first_rank + r);
        for (int j = 0; j < 4; ++j) sum[i] += of_row.of[j] * b[j];
      }
    }
    for (int i = 0; i < tile_rows; ++i) {
      if (i < tile.count) y[(tile.first + i) * width + c] += sum[i];
    }
  }
};

}  // namespace d2c::eval::device
