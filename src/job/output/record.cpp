#include "output/record.hpp"

#include "d2c/core/utc.hpp"
#include "d2c/core/version.hpp"

namespace d2c::job {
results::Provenance provenance(const comm::Communicator& comm, const RunOptions& options,
                               const RunContext& context, const std::string& hash) {
  results::Provenance p;
  p.version = version();
  p.git_commit = git_commit();
  p.created_utc = utc_now();
  p.mpi_ranks = comm.size();
  p.threads = options.threads;
  p.seed = options.seed;
  p.command_line = context.command_line;
  p.config = to_json(options);
  p.config_hash = hash;
  return p;
}

results::TaskTable task_table(const Job& job) {
  results::TaskTable table;
  for (const TaskId task : job.tasks->ids()) {
    const eval::TaskSpec& spec = job.manifest.tasks[task.index()];
    const TaskFacts& facts = job.tasks->facts(task, Split::few_shot);
    table.name.push_back(spec.name);
    table.adapter.push_back(adapter_of(spec).string());
    table.n_examples.push_back(facts.n_examples);
    table.n_tokens.push_back(facts.n_targets);
    table.weight.push_back(spec.weight);
  }
  return table;
}

void describe_search(const cluster::SearchResult& search, results::RunResults& out) {
  for (const cluster::Iteration& iteration : search.history) {
    out.iterations.seconds.push_back(iteration.seconds);
    out.iterations.restart.push_back(search.best_restart);
    append_numbers(iteration.assignment, out.iterations.assignment);
    out.iterations.loss.insert(out.iterations.loss.end(), iteration.loss.values.begin(),
                               iteration.loss.values.end());
    out.iterations.objective.push_back(iteration.objective);
    out.iterations.moved.push_back(iteration.moved);
  }
  for (const cluster::RestartSummary& restart : search.restarts) {
    out.restarts.objective.push_back(restart.objective);
    out.restarts.iterations.push_back(restart.iterations);
    out.restarts.evaluations.push_back(restart.evaluations);
    out.restarts.stop_reason.emplace_back(cluster::name(restart.stop));
  }
  for (const cluster::CurvePoint& point : search.curve) {
    out.curve.evaluations.push_back(point.evaluations);
    out.curve.objective.push_back(point.objective);
    out.curve.seconds.push_back(point.seconds);
  }
  out.evaluations.cached = search.counts.cached;
}

}  // namespace d2c::job
