#pragma once

#include <filesystem>
#include <string>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// @param given  a results file, or the folder that holds it
[[nodiscard]] std::filesystem::path results_file(const std::filesystem::path& given);

/// Everything but the merged factors.
/// @throws InputError if the file is missing, truncated, damaged, not HDF5, not of d2c, of a schema
///         version this program does not know, or not complete; naming the dataset if one is
///         missing, damaged or inconsistent
[[nodiscard]] RunResults read_results(const std::filesystem::path& file);

/// The options of the job alone, as it recorded them. @throws as read_results()
[[nodiscard]] std::string read_config(const std::filesystem::path& file);

}  // namespace d2c::results
