#include "device/pass_tables.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"
#include "d2c/model/check_forest.hpp"

namespace d2c::eval::device {
namespace {

/// Cuts [first, end) into tiles.
void add_tiles(std::int32_t first, std::int32_t end, std::int32_t adapter,
               std::vector<Tile>& tiles) {
  for (; first < end; first += tile_rows) {
    tiles.push_back({first, std::min(tile_rows, end - first), adapter});
  }
}

template <class T>
std::int32_t size_of(const std::vector<T>& values) {
  return static_cast<std::int32_t>(values.size());
}

}  // namespace

PassTables::PassTables(const model::ModelConfig& config, std::span<const PassItem> items) {
  // Rows, wanted rows and targets of the adapter at hand begin here.
  std::int32_t row = 0;
  std::int32_t of_wanted = 0;
  std::int32_t target = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto& [batch, adapter] = items[i];
    model::check_forest(config, batch->forest, batch->targets);
    D2C_EXPECTS(i == 0 || is_long == batch->forest.is_long);
    is_long = batch->forest.is_long;
    const std::int32_t first_row = size_of(ids);
    add_segments(batch->forest);
    add_targets(batch->targets, first_row);
    if (i + 1 < items.size() && items[i + 1].adapter == adapter) continue;
    if (adapter != nullptr) {
      const std::int32_t index = size_of(adapters);
      adapters.push_back(adapter);
      add_tiles(row, size_of(ids), index, row_tiles);
      add_tiles(of_wanted, size_of(wanted), index, wanted_tiles);
      add_tiles(target, size_of(labels), index, target_tiles);
    }
    row = size_of(ids);
    of_wanted = size_of(wanted);
    target = size_of(labels);
  }
}

void PassTables::add_segments(const model::TokenForest& forest) {
  const std::int32_t first_row = size_of(ids);
  ids.insert(ids.end(), forest.ids.begin(), forest.ids.end());
  std::vector<std::int64_t> begin_of_segment;
  for (const ops::Segment& segment : forest.segments) {
    const std::int64_t begin = std::ssize(chain_rows);
    begin_of_segment.push_back(begin);
    if (segment.parent >= 0) {
      const std::int64_t of_parent = begin_of_segment[static_cast<std::size_t>(segment.parent)];
      for (Index p = 0; p < segment.first_position; ++p) {
        chain_rows.push_back(chain_rows[static_cast<std::size_t>(of_parent + p)]);
      }
    }
    for (Index row = segment.begin; row < segment.end; ++row) {
      chain_rows.push_back(first_row + static_cast<std::int32_t>(row));
      chain_begin.push_back(begin);
      positions.push_back(static_cast<std::int32_t>(segment.first_position + row - segment.begin));
    }
    n_positions = std::max(n_positions, segment.first_position + segment.length());
  }
}

void PassTables::add_targets(std::span<const model::Target> targets, std::int32_t first_row) {
  std::vector<std::int32_t> rows;
  for (const model::Target& target : targets) {
    rows.push_back(first_row + static_cast<std::int32_t>(target.row));
  }
  std::vector<std::int32_t> sorted = rows;
  std::ranges::sort(sorted);
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto place = std::ranges::lower_bound(sorted, rows[i]) - sorted.begin();
    target_wanted.push_back(size_of(wanted) + static_cast<std::int32_t>(place));
    labels.push_back(targets[i].label);
  }
  wanted.insert(wanted.end(), sorted.begin(), sorted.end());
}

}  // namespace d2c::eval::device
