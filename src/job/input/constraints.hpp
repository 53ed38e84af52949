#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "d2c/cluster/constraints.hpp"
#include "d2c/eval/manifest.hpp"

namespace d2c::job {

/// Parses `{"together": [["a", "b"], ...], "apart": [["a", "c"], ...]}`: the tasks of each list
/// share one cluster, or are in different ones.
/// @param file      where the text is from, for messages
/// @param left_out  tasks that the manifest had; the constraints hold for the others
/// @throws InputError naming the field: unknown or mistyped fields, names that no task has, lists
/// of less than two tasks, tasks that must be together and apart
[[nodiscard]] cluster::Constraints parse_constraints(const std::string& text,
                                                     const std::filesystem::path& file,
                                                     const eval::Manifest& manifest,
                                                     std::span<const std::string> left_out = {});

}  // namespace d2c::job
