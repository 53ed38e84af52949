#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"
#include "help/reference.hpp"

namespace d2c::cli {
namespace {

struct HelpArguments {
  std::string command;
  std::string completion;
  bool man = false;
};

std::string overview() {
  std::string text =
      "d2c clusters and merges LoRA adapters: room for K adapters serves T tasks.\n\n"
      "Usage: d2c COMMAND [arguments]\n\nCommands:\n";
  for (const Command& command : commands()) {
    text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  }
  text +=
      "\n`d2c help COMMAND` explains a command. Start with:\n"
      "  d2c plan data/demo/manifest.json -K 5\n"
      "  mpirun -n 2 d2c run data/demo/manifest.json -K 5 --output results\n\n"
      "Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 stopped at a checkpoint,\n"
      "1 anything else.\n";
  return text;
}

}  // namespace

int help_command(const Invocation& invocation) {
  HelpArguments arguments;
  CommandLine line{.usage = "d2c help [COMMAND]",
                   .description = "Explains a command, or lists the commands.",
                   .positional = "command"};
  using A = HelpArguments;
  line.add("Options",
           std::vector<Option<A>>{{"command", option::text(&A::command), "a command of d2c"},
                                  {"completion", option::name_among(&A::completion, {"bash"}),
                                   "print the completion of d2c for a shell", "SHELL"},
                                  {"man", option::flag(&A::man), "print the manual page of d2c"}},
           arguments);
  if (!parse(line, invocation)) return 0;
  if (!arguments.command.empty()) {
    return command_named(arguments.command).function({{"--help"}, invocation.command_line});
  }
  if (!speaks_for_all()) return 0;
  fmt::print("{}", arguments.man                   ? manual_page()
                   : !arguments.completion.empty() ? bash_completion()
                                                   : overview());
  return 0;
}

}  // namespace d2c::cli
