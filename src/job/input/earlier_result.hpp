#pragma once

#include <filesystem>
#include <string_view>

#include "d2c/eval/manifest.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// The manifest of an earlier result, without the tasks that the job left out.
/// @param result  whose tasks must be those of the manifest
/// @param remedy  where it is not there, for the message
/// @throws InputError
[[nodiscard]] eval::Manifest manifest_of(const std::filesystem::path& path,
                                         const results::RunResults& result,
                                         std::string_view remedy);

}  // namespace d2c::job
