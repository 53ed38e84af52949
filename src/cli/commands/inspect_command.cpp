#include <fmt/format.h>

#include "d2c/results/reader.hpp"
#include "d2c/results/summary.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"
#include "progress_printer.hpp"

namespace d2c::cli {
namespace {

struct InspectArguments {
  std::filesystem::path file;
};

}  // namespace

int inspect_command(const Invocation& invocation) {
  InspectArguments arguments;
  CommandLine line{
      .usage = "d2c inspect FILE",
      .description = "Shows a results file: clusters, objective per iteration, gains, times.",
      .positional = "file",
      .required = {"file"}};
  line.add("Options",
           Option<InspectArguments>{"file", option::path(&InspectArguments::file),
                                    "the results.h5 of a job"},
           arguments);
  if (!parse(line, invocation)) return 0;
  fmt::print("{}", results::print_summary(results::read_results(arguments.file), output_columns()));
  return 0;
}

}  // namespace d2c::cli
