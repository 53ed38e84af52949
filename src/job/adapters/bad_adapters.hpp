#pragma once

#include <span>

#include "d2c/comm/communicator.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/run_results.hpp"

namespace d2c::job {

/// Reads every adapter of the manifest as the job will, and takes out of it the tasks of those that
/// cannot be used: missing, damaged, with values that are not finite, or of another model.
/// Collective; the ranks share the work.
/// @param modules  of the base model
/// @return  the tasks that were taken out, and why
/// @throws InputError, the same on every rank, if no task is left or the library cannot be read
[[nodiscard]] results::SkippedTable leave_out_bad_adapters(
    comm::Communicator& comm, eval::Manifest& manifest,
    std::span<const lora::TargetModule> modules);

}  // namespace d2c::job
