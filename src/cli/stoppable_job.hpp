#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/core/readable.hpp"
#include "d2c/core/signals.hpp"
#include "d2c/job/run.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"
#include "parallel_command.hpp"
#include "progress_printer.hpp"

namespace d2c::cli {

/// How a job that a signal may stop speaks to its user.
struct JobVoice {
  bool quiet = false;     ///< no progress lines, no end report
  bool verbose = false;   ///< every iteration of a search, too
  std::string state;      ///< where a stopped job leaves what it has
  std::string made_what;  ///< stands before `made_where` at the end of the report
  std::string made_where;
};

[[nodiscard]] inline std::vector<Option<JobVoice>> voice_options() {
  return {
      {"quiet", option::flag(&JobVoice::quiet), "no progress lines, no end report"},
      {"verbose", option::flag(&JobVoice::verbose), "also a line for each iteration of a search"}};
}

/// What is said of a job that leaves a result in a folder.
inline void name_result(JobVoice& voice, const std::filesystem::path& output) {
  voice.state = (output / "checkpoint.h5").string();
  voice.made_what = "Results";
  voice.made_where = (output / "results.h5").string();
}

/// Runs a job on all ranks until it is done or a signal stops it.
/// @param job     (comm, context) -> optional result; nothing = stopped
/// @param report  text for a result
/// @return exit code
template <class Job, class Report>
int run_stoppable(const Invocation& invocation, int threads, const JobVoice& voice, const Job& job,
                  const Report& report) {
  warn_of_threads(threads);
  const StopSignals signals;
  return with_mpi([&](comm::Communicator& comm) {
    job::RunContext context;
    context.command_line = invocation.command_line;
    std::optional<ProgressPrinter> printer;
    if (!voice.quiet && comm.is_root()) {
      printer.emplace(voice.verbose ? Verbosity::verbose : Verbosity::normal);
      context.log = [&](const std::string& text) { printer->say(readable(text)); };
      context.progress = &*printer;
      printer->begin("reading the input", "", 0);
    }
    const auto result = job(comm, context);
    printer.reset();
    if (!result.has_value()) {
      if (comm.is_root()) {
        fmt::print(
            stderr,
            "d2c: stopped by a signal (the state is in {}) run the same command again to go on\n",
            voice.state);
      }
      return static_cast<int>(ExitCode::requeue);
    }
    if (comm.is_root() && !voice.quiet) {
      fmt::print("{}\n{}: {}\n", report(*result), voice.made_what, voice.made_where);
    }
    return 0;
  });
}

}  // namespace d2c::cli
