#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/eval/batch.hpp"
#include "d2c/model/config.hpp"

#include "device/adapter.hpp"
#include "device/kernels/updates.hpp"

namespace d2c::eval::device {

/// A batch under an adapter.
struct PassItem {
  const Batch* batch = nullptr;
  const Adapter* adapter = nullptr;  ///< null = the base model alone
};

/// Several batches as one forest, in the form that kernels read. Rows are those of all batches, one
/// after another.
struct PassTables {
  /// @param items  those with one adapter next to each other; all long, or none
  /// @throws InputError as model::Decoder::nll
  PassTables(const model::ModelConfig& config, std::span<const PassItem> items);

  std::vector<std::int32_t> ids;        ///< [rows]
  std::vector<std::int32_t> positions;  ///< [rows]
  /// The row of position p in the sequence of row i, for p <= positions[i], is
  /// chain_rows[chain_begin[i] + p].
  std::vector<std::int64_t> chain_begin;  ///< [rows]
  std::vector<std::int32_t> chain_rows;

  std::vector<std::int32_t> wanted;         ///< rows that targets are predicted from, ascending
  std::vector<std::int32_t> target_wanted;  ///< [targets] index into `wanted`
  std::vector<std::int32_t> labels;         ///< [targets]

  std::vector<const Adapter*> adapters;  ///< those that are not null, each once
  std::vector<Tile> row_tiles;           ///< rows under adapters
  std::vector<Tile> wanted_tiles;        ///< indices into `wanted` under adapters
  std::vector<Tile> target_tiles;        ///< indices of targets under adapters
  Index n_positions = 0;                 ///< one past the last
  bool is_long = false;                  ///< as model::TokenForest::is_long

  [[nodiscard]] Index n_rows() const { return std::ssize(ids); }
  [[nodiscard]] Index n_wanted() const { return std::ssize(wanted); }
  [[nodiscard]] Index n_targets() const { return std::ssize(labels); }

 private:
  void add_segments(const model::TokenForest& forest);
  void add_targets(std::span<const model::Target> targets, std::int32_t first_row);
};

}  // namespace d2c::eval::device
