#include "d2c/job/add_tasks.hpp"
#include "d2c/results/summary.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"
#include "stoppable_job.hpp"

namespace d2c::cli {
namespace {

std::vector<Option<job::AddOptions>> add_options() {
  using O = job::AddOptions;
  return {
      {"result", option::path(&O::result), "the result to which tasks are added"},
      {"tasks", option::path(&O::tasks), "manifest of the new tasks, with the same model"},
      {"manifest", option::path(&O::manifest),
       "of the tasks of RESULT; needed if it is no longer where RESULT says"},
      {"compare-full", option::flag(&O::compare_full),
       "also search all clusters anew: adds the row `full` to the report, and tells the cost"},
  };
}

}  // namespace

int add_command(const Invocation& invocation) {
  job::AddOptions options;
  job::RunOptions call = default_options();
  JobVoice voice;
  CommandLine line{
      .usage = "d2c add RESULT --tasks MANIFEST --output DIR [options]",
      .description =
          "Adds tasks to the clusters of RESULT (a folder that `d2c run` wrote, or its "
          "results.h5). Each\n"
          "new task joins the cluster that serves it best, then the new tasks move while the "
          "objective of\n"
          "all tasks falls; only clusters that change are merged and measured again. K, the "
          "objective and\n"
          "the merge method stay as recorded. RESULT is left as it is; DIR gets a whole new result "
          "and the manifest of all tasks.",
      .positional = "result",
      .required = {"result", "tasks", "output"},
      .has_config = true};
  line.add("Tasks", add_options(), options);
  add_job_options(line, job::traits::add, call);
  line.add("Output", voice_options(), voice);
  refuse_other_options(line, {}, "it stays as RESULT records it");
  if (!parse(line, invocation)) return 0;
  options.output = call.output;
  options.overwrite = call.overwrite;
  options.threads = call.threads;
  options.ranks_per_node = call.ranks_per_node;
  name_result(voice, options.output);
  return run_stoppable(
      invocation, options.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::add_tasks(comm, options, context);
      },
      [](const results::RunResults& result) {
        return results::print_summary(result, output_columns());
      });
}

}  // namespace d2c::cli
