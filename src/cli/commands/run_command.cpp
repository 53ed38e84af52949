#include "d2c/job/run.hpp"
#include "d2c/results/summary.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"
#include "stoppable_job.hpp"

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
      .has_config = true,
      .first = {
          {"K", "K",
           "number of merged adapters, for which the device has room; 3,5,8 or 1..12 gives "
           "the objective as a curve and writes the knee (needed; or --budget-mb: the room "
           "in MB)"},
          {"output", "DIR", "folder for the results (needed; made if absent)"},
          {"overwrite", "",
           "replace the results of an earlier job in that folder, once the new ones "
           "are complete (default: refuse)"},
          {"search", "NAME",
           "how clusters are found (default: auto, the best result; kmeans is the "
           "fastest)"},
          {"method", "NAME",
           "how adapters are merged (default: average, the best approximation of "
           "their mean)"},
          {"effort", "NAME",
           "what search and distillation may spend: quick, default or thorough (default: "
           "default)"},
          {"refine", "none",
           "leave the merged adapters as they are (default: distill, train each of them to "
           "predict what its members' own adapters predict)"},
          {"verify-examples", "N",
           "examples of each task to keep from the search, on which the result is then judged "
           "(default: none)"},
          {"max-hours", "HOURS",
           "end the search after so long, with the best so far (default: no "
           "limit)"},
          {"threads", "N",
           "threads per rank (default: OMP_NUM_THREADS or SLURM_CPUS_PER_TASK, else "
           "1)"},
      }};
  add_job_options(line, job::traits::run, options);
  add_from(line, options);
  line.add("Output", voice_options(), voice);
  if (!parse(line, invocation)) return 0;
  job::validate(options);
  name_result(voice, options.output);
  return run_stoppable(
      invocation, options.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::run(comm, options, context);
      },
      [](const results::RunResults& result) {
        return results::print_summary(result, output_columns());
      });
}

}  // namespace d2c::cli
