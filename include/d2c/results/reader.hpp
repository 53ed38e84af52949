#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// A results file opened for reading.
class ResultsReader {
 public:
  /// Checks the file as a whole.
  /// @throws InputError if it is missing, truncated, damaged, not HDF5, not of d2c, of a schema
  ///         version this program does not know, or not complete
  explicit ResultsReader(std::filesystem::path file);
  ~ResultsReader();
  ResultsReader(const ResultsReader&) = delete;
  ResultsReader& operator=(const ResultsReader&) = delete;

  /// The options of the job, as it recorded them.
  [[nodiscard]] std::string config() const;

  /// Everything but the merged factors.
  /// @throws InputError that names the dataset which is missing, damaged or inconsistent
  [[nodiscard]] RunResults read();

  /// Clusters whose merged factors are in the file, ascending; empty where there are none.
  [[nodiscard]] std::vector<int> merged_clusters() const;

  /// Merged factors of one cluster by module.
  /// @throws InputError as read, and where the file has no factors of this cluster
  [[nodiscard]] std::map<std::string, MergedFactors> read_merged(int cluster) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// ResultsReader(file).read()
[[nodiscard]] RunResults read_results(const std::filesystem::path& file);

}  // namespace d2c::results
