#include "compare/update_products.hpp"

#include <algorithm>
#include <numeric>

#include "d2c/core/error.hpp"
#include "d2c/ops/linear.hpp"

namespace d2c::lora {
namespace {

/// Values that are multiplied and summed in float32, in one chain: their rounding errors stay
/// within depth 2^-24 of the sum of absolute products.
constexpr Index depth = 512;
/// Components of visitors and hosts at a time, if no adapter alone has more: the doubles of a tile
/// and the blocks of both stay in the second-level cache.
constexpr Index visitor_rows = 96;
constexpr Index host_columns = 256;
constexpr Index panel = 16;  ///< columns of a panel of ops::PackedMatrix

Index round_up(Index n) { return (n + panel - 1) / panel * panel; }

/// to = from, or to += from. @param n  a multiple of panel
template <bool add>
void accumulate(const float* from, double* to, Index n) {
  for (Index begin = 0; begin < n; begin += panel) {
    for (Index i = begin; i < begin + panel; ++i) {
      const auto value = static_cast<double>(from[i]);
      to[i] = add ? to[i] + value : value;
    }
  }
}

/// sums += x * y, entry by entry. @param n  a multiple of panel
void add_products(const double* x, const float* y, double* sums, Index n) {
  for (Index begin = 0; begin < n; begin += panel) {
    for (Index i = begin; i < begin + panel; ++i) sums[i] += x[i] * static_cast<double>(y[i]);
  }
}

template <class Values>
void make_room(Values& values, Index n) {
  if (std::ssize(values) < n) values.resize(static_cast<std::size_t>(n));
}

}  // namespace

/// Visitors whose components are multiplied at a time.
struct UpdateProducts::VisitorTile {
  std::vector<std::size_t> positions;
  std::vector<Components> visitors;
  Index rows = 0;
  bool adjacent = true;  ///< one behind the other in memory
};

UpdateProducts::UpdateProducts(ops::ThreadTeam& threads, Shape shape,
                               std::span<const Factors* const> hosts)
    : threads_(threads), shape_(shape) {
  for (const bool of_b : {false, true}) {
    const Index first = of_b ? shape.d_in : 0;
    const Index n = of_b ? shape.d_out : shape.d_in;
    const Index n_blocks = (n + depth - 1) / depth;
    const Index size = n_blocks == 0 ? 0 : round_up((n + n_blocks - 1) / n_blocks);
    for (Index begin = 0; begin < n; begin += size) {
      blocks_.push_back({first + begin, std::min(size, n - begin), of_b});
    }
  }
  for (std::size_t h = 0; h < hosts.size(); ++h) {
    if (hosts[h] == nullptr || hosts[h]->rank() == 0) continue;
    const Index rank = hosts[h]->rank();
    if (tiles_.empty() || tiles_.back().columns + rank > host_columns) tiles_.emplace_back();
    HostTile& tile = tiles_.back();
    tile.hosts.push_back(h);
    tile.first_column.push_back(tile.columns);
    tile.scalings.push_back(hosts[h]->scaling);
    tile.columns += rank;
  }
  for (HostTile& tile : tiles_) {
    tile.first_column.push_back(tile.columns);
    tile.columns = round_up(tile.columns);
    pack(tile, hosts);
  }
}

void UpdateProducts::pack(HostTile& tile, std::span<const Factors* const> hosts) {
  std::size_t n = 0;
  for (const Block& block : blocks_) n += ops::packed_floats(tile.columns, block.size);
  tile.storage.resize(n);
  std::vector<std::span<float>> targets;
  float* next = tile.storage.data();
  for (const Block& block : blocks_) {
    targets.emplace_back(next, ops::packed_floats(tile.columns, block.size));
    tile.panels.emplace_back(tile.columns, block.size, next);
    next += targets.back().size();
  }
  std::vector<float> rows;
  for (std::size_t t = 0; t < tile.hosts.size(); ++t) {
    const Factors& factors = *hosts[tile.hosts[t]];
    D2C_EXPECTS((Shape{factors.d_in(), factors.d_out()} == shape_));
    rows.resize(static_cast<std::size_t>(factors.rank() * shape_.width()));
    write_components(factors, rows);
    for (std::size_t b = 0; b < blocks_.size(); ++b) {
      ops::pack_rows(
          {rows.data() + blocks_[b].begin, factors.rank(), blocks_[b].size, shape_.width()},
          tile.first_column[t], tile.columns, targets[b]);
    }
  }
}

ops::ConstRows UpdateProducts::gather(const VisitorTile& visitors, const Block& block) {
  if (visitors.adjacent) {
    return {visitors.visitors.front().rows + block.begin, visitors.rows, block.size,
            shape_.width()};
  }
  make_room(gathered_, visitors.rows * block.size);
  float* to = gathered_.data();
  for (const Components& visitor : visitors.visitors) {
    for (Index k = 0; k < visitor.rank; ++k, to += block.size) {
      std::copy_n(visitor.rows + k * shape_.width() + block.begin, block.size, to);
    }
  }
  return {gathered_.data(), visitors.rows, block.size, block.size};
}

void UpdateProducts::multiply(const VisitorTile& visitors, const HostTile& hosts,
                              const Wanted& wanted, const Take& take) {
  std::vector<std::pair<std::size_t, std::size_t>> pairs;  // positions in the tiles
  for (std::size_t v = 0; v < visitors.positions.size(); ++v) {
    for (std::size_t h = 0; h < hosts.hosts.size(); ++h) {
      if (wanted(hosts.hosts[h], visitors.positions[v])) pairs.emplace_back(v, h);
    }
  }
  if (pairs.empty()) return;

  const Index n = hosts.columns;
  make_room(product_, visitors.rows * n);
  make_room(a_products_, visitors.rows * n);
  sums_.assign(visitors.positions.size() * static_cast<std::size_t>(n), 0.0);
  const ops::Rows product{product_.data(), visitors.rows, n, n};
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    ops::linear(threads_, gather(visitors, block), hosts.panels[b], product);
    if (block.begin == 0) {
      accumulate<false>(product.data, a_products_.data(), visitors.rows * n);
    } else if (!block.of_b) {
      accumulate<true>(product.data, a_products_.data(), visitors.rows * n);
    } else {
      Index row = 0;
      for (std::size_t v = 0; v < visitors.visitors.size(); ++v) {
        for (Index k = 0; k < visitors.visitors[v].rank; ++k, ++row) {
          add_products(a_products_.data() + row * n, product.row(row),
                       sums_.data() + static_cast<Index>(v) * n, n);
        }
      }
    }
  }
  for (const auto& [v, h] : pairs) {
    const auto sums = sums_.begin() + static_cast<Index>(v) * n;
    const double sum =
        std::accumulate(sums + hosts.first_column[h], sums + hosts.first_column[h + 1], 0.0);
    take(hosts.hosts[h], visitors.positions[v],
         visitors.visitors[v].scaling * hosts.scalings[h] * sum);
  }
}

void UpdateProducts::multiply(std::span<const Components> visitors, const Wanted& wanted,
                              const Take& take) {
  VisitorTile tile;
  const auto flush = [&] {
    for (const HostTile& hosts : tiles_) multiply(tile, hosts, wanted, take);
    tile = {};
  };
  for (std::size_t v = 0; v < visitors.size(); ++v) {
    const Components& visitor = visitors[v];
    if (visitor.rank == 0) continue;
    if (tile.rows > 0 && tile.rows + visitor.rank > visitor_rows) flush();
    if (tile.rows > 0) {
      const Components& last = tile.visitors.back();
      tile.adjacent = tile.adjacent && last.rows + last.rank * shape_.width() == visitor.rows;
    }
    tile.positions.push_back(v);
    tile.visitors.push_back(visitor);
    tile.rows += visitor.rank;
  }
  if (tile.rows > 0) flush();
}

}  // namespace d2c::lora
