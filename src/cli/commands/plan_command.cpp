#include <fmt/format.h>

#include "d2c/job/plan.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"
#include "parallel_command.hpp"
#include "stoppable_job.hpp"

namespace d2c::cli {
namespace {

struct Form {
  bool json = false;
};

}  // namespace

int plan_command(const Invocation& invocation) {
  job::RunOptions options = default_options();
  Form form;
  JobVoice voice;
  CommandLine line{
      .usage = "d2c plan MANIFEST -K 5 [options]",
      .description =
          "Loads and checks every input of a job, evaluates one task once, and tells what the job "
          "will\n"
          "take: tokens, forward passes, time, memory per node and per rank. Takes the options of\n"
          "`d2c run`, those of its output without effect; under mpirun the figures are for that\n"
          "number of ranks. scripts/make_job.py makes a SLURM job of the output of --json.",
      .positional = "manifest",
      .required = {"manifest"},
      .has_config = true};
  add_job_options(line, job::traits::plan, options);
  add_from(line, options);
  // One command line or INI file serves `run` and `plan`.
  add_job_options(line, job::traits::run, options, "Output");
  line.add("Output", voice_options(), voice);
  for (BoundOption& option : line.group("Output").options) option.is_hidden = true;
  line.add("Form", Option<Form>{"json", option::flag(&Form::json), "print the plan as JSON"}, form);
  if (!parse(line, invocation)) return 0;
  return with_mpi([&](comm::Communicator& comm) {
    job::Plan plan;
    try {
      plan = job::make_plan(comm, options);
    } catch (const comm::AgreedError& error) {
      if (error.code() != ExitCode::bad_input) throw;
      const std::vector<std::string> problems = job::find_problems(comm, options);
      if (problems.size() < 2) throw;
      for (const std::string& problem : problems) {
        if (comm.is_root()) fmt::print(stderr, "d2c: {}\n", problem);
      }
      return static_cast<int>(error.code());
    }
    if (!comm.is_root()) return 0;
    if (form.json) {
      fmt::print("{}\n", job::to_json(plan));
    } else {
      fmt::print("{}", job::print_plan(plan));
    }
    return 0;
  });
}

}  // namespace d2c::cli
