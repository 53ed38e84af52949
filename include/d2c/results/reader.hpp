#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// Everything in a results file but the merged factors.
/// @throws InputError if the file is missing, truncated, not HDF5, not of d2c, of a schema version
///         this program does not know, not complete, or inconsistent; names the dataset
[[nodiscard]] RunResults read_results(const std::filesystem::path& file);

/// Clusters whose merged factors are in the file, ascending; empty where there are none.
/// @throws InputError as read_results
[[nodiscard]] std::vector<int> merged_clusters(const std::filesystem::path& file);

/// Merged factors of one cluster by module.
/// @throws InputError as read_results, and where the file has no factors of this cluster
[[nodiscard]] std::map<std::string, MergedFactors> read_merged(const std::filesystem::path& file,
                                                               int cluster);

}  // namespace d2c::results
