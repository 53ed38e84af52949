#pragma once

#include <filesystem>
#include <string_view>

#include "d2c/eval/manifest.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// The manifest of an earlier result.
/// @param tasks   of the result, which must be those of the manifest
/// @param remedy  where it is not there, for the message
/// @throws InputError
[[nodiscard]] eval::Manifest manifest_of(const std::filesystem::path& path,
                                         const results::TaskTable& tasks, std::string_view remedy);

}  // namespace d2c::job
