#include <fmt/format.h>

#include "d2c/results/reader.hpp"
#include "d2c/results/summary.hpp"

#include "command_line.hpp"
#include "commands/commands.hpp"

namespace d2c::cli {

int inspect_command(const Invocation& invocation) {
  CommandLine line;
  line.usage = "d2c inspect RESULTS.h5";
  line.description = "Shows a results file: clusters, objective per iteration, gains, times.";
  po::options_description options("Options", kHelpWidth);
  options.add_options()("help,h", "show this text");
  line.groups.push_back(options);
  line.positional = "file";

  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    fmt::print("{}", line.help());
    return 0;
  }
  fmt::print("{}", results::print_summary(results::read_results(values["file"].as<std::string>())));
  return 0;
}

}  // namespace d2c::cli
