#include "d2c/cli/main.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include <fmt/format.h>

#include "d2c/core/crash_report.hpp"
#include "d2c/core/failure.hpp"
#include "d2c/core/version.hpp"
#include "d2c/eval/engine_choice.hpp"

#include "commands/commands.hpp"
#include "help/nearest.hpp"

namespace d2c::cli {
namespace {

constexpr std::array command_table{
    Command{"run", "cluster and merge adapters: the job, also under mpirun or srun", run_command},
    Command{"add", "add tasks to the clusters of a result", add_command},
    Command{"compare", "searches, merge methods and K side by side, over one cache",
            compare_command},
    Command{"plan", "check every input of a job and tell what it will take", plan_command},
    Command{"evaluate", "loss of a model or adapter on a file of examples", evaluate_command},
    Command{"generate", "have models answer the prompts of tasks, for scoring the texts",
            generate_command},
    Command{"merge", "merge adapters into one, without clustering", merge_command},
    Command{"pack", "pack adapters into one library file", pack_command},
    Command{"inspect", "show a results file", inspect_command},
    Command{"report", "make a page to look at from a result", report_command},
    Command{"export", "put merged adapters into a folder for PEFT, vLLM or llama.cpp",
            export_command},
    Command{"tokenize", "token ids of lines of text, for checking a tokenizer", tokenize_command},
    Command{"bench", "how fast this machine evaluates adapters, in about 10 seconds",
            bench_command},
    Command{"help", "explain a command", help_command},
};

int dispatch(int argc, char** argv) {
  const std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  if (args.empty() || args[0] == "--help" || args[0] == "-h") {
    if (!args.empty()) return help_command({{}, "d2c --help"});
    throw UsageError({"no command is given", "", "see `d2c --help`"});
  }
  if (args[0] == "--version") {
    if (speaks_for_all())
      fmt::print("d2c {} ({}), {}\n", d2c::version(), d2c::git_commit(), eval::cuda_support());
    return 0;
  }
  const Command& command = command_named(args[0]);
  Invocation invocation{{args.begin() + 1, args.end()}, "d2c"};
  for (const std::string& arg : args) invocation.command_line += " " + arg;
  return command.function(invocation);
}

/// @pre MPI is not running
int report(const Failure& failure) {
  if (speaks_for_all()) {
    fmt::print(stderr, "d2c: {}\n", failure.line);
  } else {
    // mpirun takes all ranks down as soon as one has failed: the one that speaks shall be it.
    std::this_thread::sleep_for(std::chrono::seconds(10));
  }
  return static_cast<int>(failure.code);
}

}  // namespace

std::span<const Command> commands() { return command_table; }

const Command& command_named(const std::string& name) {
  const auto place = std::ranges::find(command_table, name, &Command::name);
  if (place != command_table.end()) return *place;
  std::vector<std::string> names;
  names.reserve(command_table.size());
  for (const Command& command : command_table) names.emplace_back(command.name);
  const auto meant = nearest(name, names);
  throw UsageError({fmt::format("'{}' is not a command", name), "",
                    meant ? fmt::format("did you mean {}? `d2c --help` lists the commands", *meant)
                          : "see `d2c --help`"});
}

bool speaks_for_all() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    const char* rank = std::getenv(name);
    if (rank != nullptr) return std::string_view(rank) == "0";
  }
  return true;
}

int main(int argc, char** argv) {
  // A limit on the size of files shall be an error like a full disk, not the end.
  std::signal(SIGXFSZ, SIG_IGN);
  report_crashes("d2c");
  try {
    return dispatch(argc, argv);
  } catch (...) {
    return report(current_failure());
  }
}

}  // namespace d2c::cli
