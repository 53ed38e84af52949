#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/job/add_tasks.hpp"
#include "d2c/results/summary.hpp"

#include "commands/commands.hpp"
#include "commands/stoppable_job.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

CommandLine command_line() {
  CommandLine line;
  line.usage = "d2c add RESULT --tasks MANIFEST --output DIR [options]";
  line.description =
      "Adds tasks to the clusters of RESULT (a folder that `d2c run` wrote, or its results.h5). "
      "Each\n"
      "new task joins the cluster that serves it best, then the new tasks move while the objective "
      "of\n"
      "all tasks falls; only clusters that change are merged and measured again. K, the objective "
      "and\n"
      "the merge method stay as recorded; it neither races nor cross-fits, whatever RESULT did. "
      "RESULT\n"
      "is left as it is; DIR gets a whole new result and the manifest of all tasks.";
  po::options_description options("Options", kHelpWidth);
  // clang-format off
  options.add_options()
      ("tasks", po::value<std::string>()->required(), "manifest of the new tasks, with the same model")
      ("output,o", po::value<std::string>()->required(), "folder for the new result; made if absent")
      ("manifest", po::value<std::string>(),
       "of the tasks of RESULT; needed if it is no longer where RESULT says")
      ("compare-full", po::bool_switch(),
       "also search all clusters anew: adds the row `full` to the report, and tells the cost")
      ("overwrite", po::bool_switch(), "replace an earlier result in the output folder")
      ("threads", po::value<int>()->default_value(default_threads()),
       "per rank; OMP_NUM_THREADS or SLURM_CPUS_PER_TASK set the default")
      ("ranks-per-node", po::value<int>()->default_value(0),
       "ranks that share one copy of the base weights; 0 = all of a node")
      ("quiet,q", po::bool_switch(), "no progress lines, no end report")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(options);
  line.positional = "result";
  return line;
}

}  // namespace

int add_command(const Invocation& invocation) {
  const CommandLine line = command_line();
  CommandLine known = line;
  known.groups.push_back(racing_option_group());  // parsed to be refused with the reason
  const po::variables_map values = parse(known, invocation.args);
  if (values.count("help") != 0) {
    if (speaks_for_all()) fmt::print("{}", line.help());
    return 0;
  }
  refuse_racing(values);
  job::AddOptions options;
  options.result = values["result"].as<std::string>();
  options.tasks = values["tasks"].as<std::string>();
  options.output = values["output"].as<std::string>();
  if (values.count("manifest") != 0) options.manifest = values["manifest"].as<std::string>();
  options.compare_full = values["compare-full"].as<bool>();
  options.overwrite = values["overwrite"].as<bool>();
  options.threads = values["threads"].as<int>();
  options.ranks_per_node = values["ranks-per-node"].as<int>();
  if (options.threads < 1) throw UsageError({"--threads must be at least 1", "", ""});
  const JobVoice voice{values["quiet"].as<bool>(), (options.output / "checkpoint.h5").string(),
                       "Results", (options.output / "results.h5").string()};
  return run_stoppable(
      invocation, options.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::add_tasks(comm, options, context);
      },
      results::print_summary);
}

}  // namespace d2c::cli
