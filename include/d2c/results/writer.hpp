#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

enum class IfExists { refuse, replace };

/// Row-major float matrix that someone else owns.
struct MatrixView {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::span<const float> values;  ///< [rows * cols]
};

/// Writes one results file. The file grows beside its final place under a temporary name; finish()
/// flushes it to disk and renames it, so that a file with the final name is always whole. Without
/// finish() nothing is left behind.
///
/// Construct it before the work starts: an output that cannot be written is then known at once.
class ResultsWriter {
 public:
  /// @throws InputError if `file` exists (with IfExists::refuse) or its folder cannot be written
  explicit ResultsWriter(std::filesystem::path file, IfExists if_exists = IfExists::refuse);
  ~ResultsWriter();
  ResultsWriter(const ResultsWriter&) = delete;
  ResultsWriter& operator=(const ResultsWriter&) = delete;

  /// Appends the merged factors of one module of one cluster; nothing of them is kept in memory.
  /// @param cluster  0-based
  /// @param a        A [rank, d_in]
  /// @param b        B [d_out, rank]; delta W = B A, scaling 1
  /// @throws InputError if the file cannot be written
  void add_merged(int cluster, std::string_view module, MatrixView a, MatrixView b);

  /// Writes everything else, seals the file and flushes it to the disk.
  /// @throws InputError if the file cannot be written; ContractError if sizes disagree
  void complete(const RunResults& results);
  /// Where the file is until it is published.
  [[nodiscard]] std::filesystem::path partial() const;
  /// Leaves the file where it is, to a caller who publishes it. @return partial()
  std::filesystem::path release();
  /// complete(), and publishes the file. Call once, last.
  /// @throws as complete()
  void finish(const RunResults& results);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// A file without merged factors, in one call.
void write_results(const std::filesystem::path& file, const RunResults& results,
                   IfExists if_exists = IfExists::refuse);

}  // namespace d2c::results
