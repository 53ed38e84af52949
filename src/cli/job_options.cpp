#include "job_options.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/ops/thread_team.hpp"
#include "d2c/results/reader.hpp"

#include "commands/commands.hpp"

namespace d2c::cli {

job::RunOptions default_options() {
  job::RunOptions options;
  for (const char* name : {"OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
    const char* text = std::getenv(name);
    if (text == nullptr || std::atoi(text) <= 0) continue;
    options.threads = std::atoi(text);
    break;
  }
  return options;
}

void add_job_options(CommandLine& line, unsigned command, job::RunOptions& options,
                     std::string_view caption) {
  for (const job::RunOption& row : job::option_table()) {
    if (!row.has(command) || line.has(row.name)) continue;
    line.add<job::RunOptions>(caption.empty() ? row.group : caption, row, options);
  }
}

void refuse_other_options(CommandLine& line, std::span<const Refusal> refusals,
                          std::string_view otherwise) {
  for (const job::RunOption& row : job::option_table()) {
    if (!row.has(job::traits::run) || line.has(row.name)) continue;
    const auto place = std::ranges::find(refusals, row.name, &Refusal::option);
    const Message message{"is not taken here",
                          std::string(place != refusals.end() ? place->why : otherwise),
                          std::string(place != refusals.end() ? place->fix : "leave it out")};
    line.group(row.group).options.push_back(
        {row.name, "", "", row.value.kind == OptionKind::flag, true, [] { return std::string(); },
         [message](std::string_view) { return std::optional(message); }});
  }
}

void add_from(CommandLine& line, job::RunOptions& options) {
  line.start_from = [&options](const std::string& given_file, const auto& given) {
    const std::filesystem::path file = results::results_file(given_file);
    const job::RunOptions call = options;
    options = job::options_from_json(results::read_config(file), file);
    if (options.placed > 0) {
      throw UsageError({fmt::format("--from does not take {}", file.string()),
                        "`d2c add` made it from another result", "repeat that command"});
    }
    for (const job::RunOption& row : job::option_table()) {
      if (row.has(job::traits::of_the_call)) (void)row.value.set(options, row.value.text(call));
    }
    // A budget decided K, and may be replaced by one or the other.
    const bool anew = given("K") || given("budget-mb");
    if (anew || options.budget_mb > 0) options.k = 0;
    if (anew) {
      options.ks.clear();
      options.sweep_pick = 0;
      options.budget_mb = 0;
    }
    // Without a refinement its options would be refused, which this call has not given.
    if (given("refine") != "none") return;
    const job::RunOptions defaults;
    for (const job::RunOption& row : job::option_table()) {
      if (row.name.starts_with("refine-")) (void)row.value.set(options, row.value.text(defaults));
    }
  };
}

void warn_of_threads(int n) {
  if (n <= ops::usable_processors() || !speaks_for_all()) return;
  fmt::print(stderr,
             "warning: --threads {} on {} usable processor{} (threads that share one wait for each "
             "other); give fewer, or more processors per rank: srun --cpus-per-task, mpirun "
             "--map-by slot:PE=n\n",
             n, ops::usable_processors(), ops::usable_processors() == 1 ? "" : "s");
}

}  // namespace d2c::cli
