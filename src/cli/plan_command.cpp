#include <fmt/format.h>

#include "d2c/driver/plan.hpp"

#include "commands.hpp"
#include "job_options.hpp"
#include "parallel_command.hpp"

namespace d2c::cli {

int plan_command(const Invocation& invocation) {
  CommandLine line;
  line.usage = "d2c plan MANIFEST -K 5 [options]";
  line.description =
      "Loads and checks every input of a job without evaluating anything, and tells what the job\n"
      "will take: tokens, forward passes, memory per rank. Takes the options of `d2c run`; under\n"
      "mpirun the figures are for that number of ranks.";
  line.groups = job_option_groups();
  po::options_description other("Other", kHelpWidth);
  // clang-format off
  other.add_options()
      ("config", po::value<std::string>(), "INI file with `option = value` lines; the command line wins")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(other);
  line.positional = "manifest";

  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    if (speaks_for_all()) fmt::print("{}", line.help());
    return 0;
  }
  driver::RunOptions options = job_options(values);
  return with_mpi([&](comm::Communicator& comm) {
    const driver::Plan plan = driver::make_plan(comm, options);
    if (comm.is_root()) fmt::print("{}", driver::print_plan(plan));
    return 0;
  });
}

}  // namespace d2c::cli
