#include <fmt/format.h>

#include "d2c/job/run.hpp"
#include "d2c/results/summary.hpp"

#include "choice.hpp"
#include "commands/commands.hpp"
#include "commands/stoppable_job.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

CommandLine command_line() {
  CommandLine line;
  line.usage = "d2c run MANIFEST -K 5 --output DIR [options]";
  line.description =
      "Clusters the tasks of MANIFEST (a JSON file, or a folder with model, adapters/NAME and\n"
      "examples/NAME.jsonl) into K groups and merges the adapters of each group, so that K "
      "adapters\n"
      "serve all tasks as well as possible. Under mpirun or srun the ranks share the work; the "
      "result\n"
      "is the same for any number of ranks.\n\n"
      "Writes DIR/results.h5 (every loss, HDF5) and DIR/merged/cluster_NN (PEFT folders).";
  line.groups = job_option_groups();
  line.groups.push_back(racing_option_group());
  po::options_description output("Output", kHelpWidth);
  // clang-format off
  output.add_options()
      ("output,o", po::value<std::string>()->required(), "folder for the results; made if absent")
      ("overwrite", po::bool_switch(), "replace the results of an earlier job in that folder")
      ("merged", po::value<std::string>()->default_value("peft"),
       "where merged adapters go: peft (folders), hdf5 (results.h5) or both")
      ("checkpoint-minutes", po::value<double>()->default_value(10.0),
       "time between checkpoints; 0 = only when SIGUSR1 or SIGTERM stops the job (exit code 4)")
      ("quiet,q", po::bool_switch(), "no progress lines, no end report")
      ("config", po::value<std::string>(), "INI file with `option = value` lines; the command line wins")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(output);
  line.positional = "manifest";
  return line;
}

job::RunOptions options_of(const po::variables_map& values) {
  job::RunOptions options = job_options(values);
  read_racing(values, options);
  options.output = values["output"].as<std::string>();
  options.checkpoint_minutes = values["checkpoint-minutes"].as<double>();
  options.overwrite = values["overwrite"].as<bool>();
  options.merged_output = choice<job::MergedOutput>(values, "merged",
                                                    {{"peft", job::MergedOutput::peft},
                                                     {"hdf5", job::MergedOutput::hdf5},
                                                     {"both", job::MergedOutput::both}});
  job::validate(options);
  return options;
}

}  // namespace

int run_command(const Invocation& invocation) {
  const CommandLine line = command_line();
  const po::variables_map values = parse(line, invocation.args);
  if (values.count("help") != 0) {
    if (speaks_for_all()) fmt::print("{}", line.help());
    return 0;
  }
  const job::RunOptions options = options_of(values);
  const JobVoice voice{values["quiet"].as<bool>(), (options.output / "checkpoint.h5").string(),
                       "Results", (options.output / "results.h5").string()};
  return run_stoppable(
      invocation, options.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::run(comm, options, context);
      },
      results::print_summary);
}

}  // namespace d2c::cli
