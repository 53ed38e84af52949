#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// A results file opened for reading.
class ResultsReader {
 public:
  /// Checks the file as a whole.
  /// @throws InputError if it is missing, truncated, damaged, not HDF5, not of d2c, of a schema
  ///         version this program does not know, or not complete
  explicit ResultsReader(const std::filesystem::path& file);
  ~ResultsReader();
  ResultsReader(const ResultsReader&) = delete;
  ResultsReader& operator=(const ResultsReader&) = delete;

  /// The options of the job, as it recorded them.
  [[nodiscard]] std::string config() const;

  /// Everything but the merged factors.
  /// @throws InputError that names the dataset which is missing, damaged or inconsistent
  [[nodiscard]] RunResults read();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// @param given  a results file, or the folder that holds it
[[nodiscard]] std::filesystem::path results_file(const std::filesystem::path& given);

/// ResultsReader(file).read()
[[nodiscard]] RunResults read_results(const std::filesystem::path& file);

}  // namespace d2c::results
