#pragma once

#include <span>
#include <string_view>

#include "d2c/job/option_table.hpp"

#include "command_line.hpp"

namespace d2c::cli {

/// Why a command does not take an option of `run`.
struct Refusal {
  std::string_view option;
  std::string_view why;
  std::string_view fix;
};

/// The default options; as many threads per rank as OMP_NUM_THREADS says, else
/// SLURM_CPUS_PER_TASK, else 1.
[[nodiscard]] job::RunOptions default_options();

/// Adds the rows of the option table that a command takes, but for names that it has already.
/// @param command  of job::traits
/// @param caption  one heading for all of them; empty = that of each
void add_job_options(CommandLine& line, unsigned command, job::RunOptions& options,
                     std::string_view caption = {});
/// Adds the other options of `run`, which are refused with a reason when they are given.
/// @param otherwise  reason for those that `refusals` does not name
void refuse_other_options(CommandLine& line, std::span<const Refusal> refusals,
                          std::string_view otherwise);
/// Adds --from: all options but those of one call as a result records them.
void add_from(CommandLine& line, job::RunOptions& options);

/// The first rank warns where they outnumber its processors.
void warn_of_threads(int n);

}  // namespace d2c::cli
