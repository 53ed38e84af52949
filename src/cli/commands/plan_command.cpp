#include <fmt/format.h>

#include "d2c/job/plan.hpp"

#include "commands/commands.hpp"
#include "commands/parallel_command.hpp"
#include "job_options.hpp"

namespace d2c::cli {

int plan_command(const Invocation& invocation) {
  CommandLine line;
  line.usage = "d2c plan MANIFEST -K 5 [options]";
  line.description =
      "Loads and checks every input of a job, evaluates one task once, and tells what the job "
      "will\n"
      "take: tokens, forward passes, time, memory per node and per rank. Takes the options of\n"
      "`d2c run`; under mpirun the figures are for that number of ranks. The searches of "
      "--cross-fit "
      "are\n"
      "not counted. scripts/make_job.py makes a SLURM job of the output of --json.";
  line.groups = job_option_groups();
  line.groups.push_back(racing_option_group());
  po::options_description other("Other", kHelpWidth);
  // clang-format off
  other.add_options()
      ("json", "print the plan as JSON")
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
  job::RunOptions options = job_options(values);
  read_racing(values, options);
  return with_mpi([&](comm::Communicator& comm) {
    const job::Plan plan = job::make_plan(comm, options);
    if (!comm.is_root()) return 0;
    if (values.count("json") != 0) {
      fmt::print("{}\n", job::to_json(plan));
    } else {
      fmt::print("{}", job::print_plan(plan));
    }
    return 0;
  });
}

}  // namespace d2c::cli
