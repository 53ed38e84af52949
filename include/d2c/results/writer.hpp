#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// Row-major float matrix that someone else owns.
struct MatrixView {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::span<const float> values;  ///< [rows * cols]
};

/// Writes one results file beside its final place under a temporary name, from where a caller puts
/// it in its place. Without release() nothing is left behind.
///
/// Construct it before the work starts: an output that cannot be written is then known at once.
class ResultsWriter {
 public:
  /// @throws IoError if the folder of `file` cannot be written
  explicit ResultsWriter(const std::filesystem::path& file);
  ~ResultsWriter();
  ResultsWriter(const ResultsWriter&) = delete;
  ResultsWriter& operator=(const ResultsWriter&) = delete;

  /// Appends the merged factors of one module of one cluster; nothing of them is kept in memory.
  /// @param cluster  0-based
  /// @param a        A [rank, d_in]
  /// @param b        B [d_out, rank]; delta W = B A, scaling 1
  /// @throws IoError if the file cannot be written
  void add_merged(int cluster, std::string_view module, MatrixView a, MatrixView b);

  /// Writes everything else, seals the file and flushes it to the disk.
  /// @throws IoError if the file cannot be written; ContractError if sizes disagree
  void complete(const RunResults& results);
  /// Where the file is until it is published.
  [[nodiscard]] std::filesystem::path partial() const;
  /// Leaves the file where it is, to a caller who publishes it. @return partial()
  std::filesystem::path release();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace d2c::results
