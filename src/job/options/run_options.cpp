#include "d2c/job/run_options.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/job/option_table.hpp"

namespace d2c::job {
namespace {

void require(bool holds, const char* what, const char* why, const char* fix) {
  if (!holds) throw UsageError({what, why, fix});
}

}  // namespace

bool merges_by_inputs(const RunOptions& options) {
  if (options.merge_method == medoid_method || options.merge_method == auto_method) return false;
  return merge::find_method(options.merge_method).uses_inputs;
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
  validate_clustering(options);
}

void validate_clustering(const RunOptions& options) {
  for (const RunOption& row : option_table()) {
    if (const auto problem = row.value.check(options)) {
      throw UsageError({flag_of(row.name) + " " + problem->what, problem->why, problem->fix});
    }
  }
  require(options.cross_fit != 1, "--cross-fit must be at least 2",
          "one part of the examples is kept from each search, which needs another",
          "give the number of parts, such as 5, or 0 for none");
  require(options.racing == 0 || options.cross_fit == 0, "--racing does not go with --cross-fit",
          "both divide the examples of the search", "leave one of them out");
  require(options.cross_fit == 0 || options.merge_method != medoid_method,
          "--cross-fit does not go with --method medoid",
          "medoids are chosen by all examples of the search, those that a part keeps back too",
          "leave one of them out");
  require(options.cross_fit == 0 || !merges_by_inputs(options),
          "--cross-fit does not go with a --method that merges by the layers' inputs",
          "its merges look at all examples of the search, those that a part keeps back too",
          "keep examples from search and merges by --verify-examples");
  require(options.racing_check == 0 || options.racing > 0, "--racing-check needs --racing",
          "there are no races to check", "add --racing 0.05, or leave it out");
  require(!options.tune_weights || options.merge_method != medoid_method,
          "--member-weights auto does not go with --method medoid",
          "a medoid is one adapter as it is", "leave one of them out");
  if (options.merge_method == auto_method) {
    merge::validate(merge::find_method("average"), options.merge);
  } else if (options.merge_method != medoid_method) {
    merge::validate(merge::find_method(options.merge_method), options.merge);
  }
}

void validate(const RunOptions& options, int n_tasks) {
  if (options.k > n_tasks) {
    throw UsageError(
        {fmt::format("-K is {}, more than the {} tasks of the manifest", options.k, n_tasks),
         "a cluster needs at least one task", fmt::format("give 1 to {}", n_tasks)});
  }
}

}  // namespace d2c::job
