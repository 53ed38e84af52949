#include "d2c/job/run_options.hpp"

#include <algorithm>

#include "d2c/core/error.hpp"
#include "d2c/job/option_table.hpp"

namespace d2c::job {
namespace {

void require(bool holds, const char* what, const char* why, const char* fix) {
  if (!holds) throw UsageError({what, why, fix});
}

/// Options of distillation where nothing is distilled.
void refuse_idle_refinement_options(const RunOptions& options) {
  if (options.refinement == Refinement::distill) return;
  const RunOptions defaults;
  for (const RunOption& row : option_table()) {
    if (!row.name.starts_with("refine-")) continue;
    if (row.value.text(options) == row.value.text(defaults)) continue;
    throw UsageError({flag_of(row.name) + " does not go with --refine none",
                      "there is nothing that it would change", "leave one of them out"});
  }
}

}  // namespace

Spending spending(const RunOptions& options, int n_tasks) {
  Spending most;
  switch (options.effort) {
    case Effort::quick:
      most = {9 * std::int64_t{n_tasks}, 40, 3};
      break;
    case Effort::usual:
      most = {1000 + 10 * std::int64_t{n_tasks}, 150, 7};
      break;
    case Effort::thorough:
      most = {4000 + 40 * std::int64_t{n_tasks}, 500, 31};
      break;
  }
  if (options.search != "auto") most.evaluations = 0;
  if (options.max_evaluations > 0) most.evaluations = options.max_evaluations;
  if (options.refine_steps > 0) most.steps = options.refine_steps;
  if (options.refine_variants > 0) most.variants = options.refine_variants;
  if (options.refinement == Refinement::none) most.steps = 0;
  return most;
}

void validate(const RunOptions& options) {
  require(!options.output.empty(), "--output is missing", "the results need a place",
          "give a folder");
  validate_search(options);
}

void validate_search(const RunOptions& options) {
  require(options.k >= 1 || options.budget_mb > 0, "-K is missing",
          "it is the number of merged adapters",
          "give the number of adapters that the device has room for, or --budget-mb");
  require(options.k == 0 || options.budget_mb == 0, "-K and --budget-mb exclude each other",
          "the budget decides K", "give one of them");
  require(options.ks.empty() || options.search == "auto",
          "several numbers of clusters need --search auto",
          "its searches start from each other's results",
          "give one -K, or compare searches with `d2c compare`");
  require(options.sweep_pick == 0 ||
              std::ranges::find(options.ks, options.sweep_pick) != options.ks.end(),
          "--sweep-pick is not one of the numbers of clusters", "it names the one that is written",
          "give one of those after -K");
  for (const RunOption& row : option_table()) {
    if (const auto problem = row.value.check(options)) {
      throw UsageError({flag_of(row.name) + " " + problem->what, problem->why, problem->fix});
    }
  }
  refuse_idle_refinement_options(options);
  if (options.merge_method != medoid_method) {
    merge::validate(merge::find_method(options.merge_method), options.merge);
  }
}

}  // namespace d2c::job
