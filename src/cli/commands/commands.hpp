#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace d2c::cli {

struct CommandLine;

/// What a subcommand gets from main().
struct Invocation {
  std::vector<std::string> args;  ///< after the subcommand
  std::string command_line;       ///< the whole, for provenance
  /// Instead of the work: looks at what the subcommand takes. Empty = work.
  std::function<void(const CommandLine& line)> look = {};
};

/// A subcommand is a row. Functions return the exit code or throw d2c::Error.
struct Command {
  std::string_view name;
  std::string_view summary;  ///< one line of `d2c help`
  int (*function)(const Invocation& invocation) = nullptr;
};

[[nodiscard]] std::span<const Command> commands();
/// @throws UsageError if there is none of that name
[[nodiscard]] const Command& command_named(const std::string& name);

int run_command(const Invocation& invocation);
int add_command(const Invocation& invocation);
int compare_command(const Invocation& invocation);
int plan_command(const Invocation& invocation);
int evaluate_command(const Invocation& invocation);
int generate_command(const Invocation& invocation);
int merge_command(const Invocation& invocation);
int pack_command(const Invocation& invocation);
int inspect_command(const Invocation& invocation);
int report_command(const Invocation& invocation);
int export_command(const Invocation& invocation);
int help_command(const Invocation& invocation);
int tokenize_command(const Invocation& invocation);
int bench_command(const Invocation& invocation);

/// Whether this process is to speak for all that mpirun or srun started: rank 0, or alone. Known
/// before MPI is initialised, from the launcher's environment.
[[nodiscard]] bool speaks_for_all();

}  // namespace d2c::cli
