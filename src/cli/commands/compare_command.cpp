#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/core/error.hpp"
#include "d2c/job/compare_methods.hpp"

#include "commands/commands.hpp"
#include "job_options.hpp"
#include "stoppable_job.hpp"

namespace d2c::cli {
namespace {

constexpr std::array refusals{
    Refusal{"search", "a comparison tries several", "give --searches"},
    Refusal{"method", "a comparison tries several", "give --methods"},
    Refusal{"sweep-pick", "no result is written of which it would name the K", "leave it out"},
    Refusal{"budget-mb", "its K would differ from method to method", "give -K"},
    Refusal{"max-hours", "later rows would get less time than earlier ones",
            "limit every search alike by --max-evaluations"}};

/// --refine says what --refined does, and nothing without it.
void check_refine(const CommandLine& line, const job::CompareOptions& options) {
  const auto is_given = [&](const char* name) {
    return std::ranges::find(line.given, name) != line.given.end();
  };
  if (!is_given("refine")) return;
  const bool refines = options.job.refinement == job::Refinement::distill;
  if (refines && !is_given("refined") && speaks_for_all()) {
    fmt::print(stderr,
               "warning: --refine distill changes nothing without --refined (that names the "
               "searches whose clusters are refined); add --refined auto\n");
  }
  if (!refines && is_given("refined")) {
    throw UsageError({"--refined does not go with --refine none", "its rows would be missing",
                      "leave one of them out"});
  }
}

/// Names separated by commas.
OptionValue<job::CompareOptions> names(std::vector<std::string> job::CompareOptions::*member) {
  return {OptionKind::text,
          [=](const job::CompareOptions& options) {
            return fmt::format("{}", fmt::join(options.*member, ","));
          },
          [=](job::CompareOptions& options, std::string_view text) -> std::optional<Message> {
            if (text.empty()) return Message{"is empty", "it takes names", "leave it out"};
            (options.*member).clear();
            std::istringstream list{std::string(text)};
            for (std::string name; std::getline(list, name, ',');) {
              (options.*member).push_back(name);
            }
            return std::nullopt;
          }};
}

std::vector<Option<job::CompareOptions>> compare_options() {
  using O = job::CompareOptions;
  return {
      {"searches", names(&O::searches), "separated by commas; `d2c run --help-all` explains them"},
      {"methods", names(&O::methods),
       "merge methods, separated by commas; `d2c merge --list-methods` explains them"},
      {"refined", names(&O::refined),
       "of --searches, those whose merged adapters are also distilled, in rows of their own",
       "SEARCHES"},
      {"seeds", option::number(&O::n_seeds, at_least(1)),
       "how many seeds: --seed and those after it"},
  };
}

}  // namespace

int compare_command(const Invocation& invocation) {
  job::CompareOptions options{.job = default_options(),
                              .searches = {"auto", "d2c", "kmeans", "agglomerative", "random"},
                              .methods = {"average"},
                              .n_seeds = 3};
  JobVoice voice;
  CommandLine line{
      .usage = "d2c compare MANIFEST -K 3,5,8 --output DIR [options]",
      .description =
          "Tries every search with every merge method, number of clusters and seed, and prints "
          "what each\n"
          "is worth on the few-shot examples, on examples kept from the search "
          "(--verify-examples) and on\n"
          "the test split, beside the baselines base, own and one. Losses are measured once for "
          "all\n"
          "searches of a merge method. Takes the options of `d2c run` but --search, --method, "
          "--sweep-pick,\n"
          "--budget-mb, --max-hours, --final-losses and --merged.\n\n"
          "Writes DIR/compare.h5 (all losses, HDF5) and DIR/compare.csv.",
      .positional = "manifest",
      .required = {"manifest", "output"},
      .has_config = true};
  line.add("Compared", compare_options(), options);
  add_job_options(line, job::traits::compare, options.job);
  line.add("Output", voice_options(), voice);
  refuse_other_options(line, refusals, "a comparison has no use for it");
  if (!parse(line, invocation)) return 0;
  check_refine(line, options);
  options.job.refinement =
      options.refined.empty() ? job::Refinement::none : job::Refinement::distill;
  job::validate(options);
  voice.state = options.job.output.string();
  voice.made_what = "Tables";
  voice.made_where = (options.job.output / "compare.{h5,csv}").string();
  return run_stoppable(
      invocation, options.job.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::compare_methods(comm, options, context);
      },
      results::print_comparison);
}

}  // namespace d2c::cli
