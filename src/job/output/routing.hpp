#pragma once

#include <vector>

#include "d2c/job/run_options.hpp"
#include "d2c/results/run_results.hpp"

#include "input/job.hpp"
#include "output/merged_writer.hpp"
#include "output/output_folder.hpp"

namespace d2c::job {

/// What a server needs of a result: `routing.json`, which merged adapter serves which task and how
/// to check that it is loaded, and `assignment.csv`, the same for tables. Their form is described
/// in docs/user/deploying.md.
/// @param written  of the clusters that are not empty
[[nodiscard]] std::vector<TextFile> routing_files(const Job& job, const RunOptions& options,
                                                  const results::RunResults& results,
                                                  const std::vector<WrittenAdapter>& written);

}  // namespace d2c::job
