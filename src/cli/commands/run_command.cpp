#include <fmt/format.h>

#include "d2c/job/run.hpp"
#include "d2c/results/summary.hpp"

#include "commands/commands.hpp"
#include "commands/stoppable_job.hpp"
#include "job_options.hpp"

namespace d2c::cli {

int run_command(const Invocation& invocation) {
  job::RunOptions options = default_options();
  JobVoice voice;
  CommandLine line{
      .usage = "d2c run MANIFEST -K 5 --output DIR [options]",
      .description =
          "Clusters the tasks of MANIFEST (a JSON file, or a folder with model, adapters/NAME and\n"
          "examples/NAME.jsonl) into K groups and merges the adapters of each group, so that K "
          "adapters\n"
          "serve all tasks as well as possible. Under mpirun or srun the ranks share the work; the "
          "result\n"
          "is the same for any number of ranks.\n\n"
          "Writes DIR/results.h5 (every loss, HDF5) and DIR/merged/cluster_NN (PEFT folders).",
      .positional = "manifest",
      .required = {"manifest", "output"},
      .has_config = true};
  add_job_options(line, job::traits::run, options);
  add_from(line, options);
  line.add("Output", quiet_option(), voice);
  if (!parse(line, invocation)) return 0;
  job::validate(options);
  name_result(voice, options.output);
  return run_stoppable(
      invocation, options.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::run(comm, options, context);
      },
      results::print_summary);
}

}  // namespace d2c::cli
