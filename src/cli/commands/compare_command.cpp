#include <algorithm>
#include <array>
#include <sstream>

#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"
#include "d2c/job/compare_methods.hpp"

#include "commands/commands.hpp"
#include "commands/stoppable_job.hpp"
#include "job_options.hpp"

namespace d2c::cli {
namespace {

CommandLine command_line() {
  CommandLine line;
  line.usage = "d2c compare MANIFEST -K 3,5,8 --output DIR [options]";
  line.description =
      "Tries every search with every merge method, number of clusters and seed, and prints what "
      "each\n"
      "is worth on the few-shot examples, on examples kept from the search (--verify-examples) and "
      "on\n"
      "the test split, beside the baselines base, own and one. Losses are measured once for all\n"
      "searches of a merge method. Takes the options of `d2c run` but --search, --method, "
      "--sweep-pick,\n"
      "--budget-mb, --cross-fit, --max-hours and those of racing (--racing, --racing-check, "
      "--race-mib).\n\n"
      "Writes DIR/compare.h5 (all losses, HDF5) and DIR/compare.csv.";
  po::options_description compared("Compared", kHelpWidth);
  // clang-format off
  compared.add_options()
      ("searches", po::value<std::string>()->default_value("auto,d2c,kmeans,agglomerative,random"),
       "separated by commas; `d2c run --help` explains them")
      ("methods", po::value<std::string>()->default_value("average"),
       "merge methods, separated by commas; `d2c merge --list-methods` explains them")
      ("refine", po::value<std::string>()->value_name("SEARCHES"),
       "of --searches, those whose clusters are also refined, in rows of their own: by --scale auto and --member-weights auto, or by the one of them that is given. With a number for --scale, all rows have that factor; the line search of a refinement starts there")
      ("seeds", po::value<int>()->default_value(3), "how many seeds: --seed and those after it");
  po::options_description output("Output", kHelpWidth);
  output.add_options()
      ("output,o", po::value<std::string>()->required(), "folder for the tables; made if absent")
      ("overwrite", po::bool_switch(), "replace the tables of an earlier comparison in that folder")
      ("checkpoint-minutes", po::value<double>()->default_value(10.0),
       "time between checkpoints; 0 = only when SIGUSR1 or SIGTERM stops the job (exit code 4)")
      ("quiet,q", po::bool_switch(), "no progress lines, no table")
      ("config", po::value<std::string>(), "INI file with `option = value` lines; the command line wins")
      ("help,h", "show this text");
  // clang-format on
  line.groups.push_back(compared);
  for (auto& group : job_option_groups()) line.groups.push_back(group);
  line.groups.push_back(output);
  line.positional = "manifest";
  return line;
}

/// Options of `run` that a comparison parses only to refuse them.
struct Refused {
  const char* option;
  const char* why;
  const char* fix;
};
constexpr std::array kRefused{
    Refused{"search", "a comparison tries several", "give --searches"},
    Refused{"method", "a comparison tries several", "give --methods"},
    Refused{"sweep-pick", "no result is written of which it would name the K", "leave it out"},
    Refused{"budget-mb", "its K would differ from method to method", "give -K"},
    Refused{"cross-fit", "it repeats one search", "cross-fit one result with `d2c run`"},
    Refused{"max-hours", "later rows would get less time than earlier ones",
            "limit every search alike by --max-evaluations"}};

/// The options of a group that a comparison takes.
po::options_description taken(const po::options_description& group, const std::string& caption) {
  po::options_description kept(caption, kHelpWidth);
  for (const auto& option : group.options()) {
    const bool is_refused = std::ranges::any_of(
        kRefused, [&](const Refused& refused) { return option->long_name() == refused.option; });
    if (!is_refused) kept.add(option);
  }
  return kept;
}

/// @return  the text without what is refused
std::string help(const CommandLine& line) {
  CommandLine shown = line;
  shown.groups.clear();
  for (std::size_t i = 0; i < line.groups.size(); ++i) {
    const po::options_description& group = line.groups[i];
    shown.groups.push_back(i == 1   ? taken(group, "Clusters")
                           : i == 2 ? taken(group, "Merging")
                                    : group);
  }
  return shown.help();
}

std::vector<std::string> names(const po::variables_map& values, const std::string& option) {
  std::vector<std::string> list;
  std::istringstream text(values[option].as<std::string>());
  for (std::string name; std::getline(text, name, ',');) list.push_back(name);
  return list;
}

job::CompareOptions options_of(const po::variables_map& values) {
  for (const auto& [option, why, fix] : kRefused) refuse_option(values, option, why, fix);
  refuse_racing(values);
  job::CompareOptions options;
  options.job = job_options(values);
  if (values.count("refine") != 0) {
    options.refined = names(values, "refine");
    if (options.refined.empty()) {
      throw UsageError({"--refine is empty", "it names the searches to refine", "leave it out"});
    }
    for (const std::string& search : options.refined) (void)cluster::search_method(search);
    if (!options.job.tune_scale && !options.job.tune_weights) {
      options.job.tune_scale = options.job.tune_weights = true;
    }
  }
  options.job.output = values["output"].as<std::string>();
  options.job.checkpoint_minutes = values["checkpoint-minutes"].as<double>();
  options.job.overwrite = values["overwrite"].as<bool>();
  options.searches = names(values, "searches");
  options.methods = names(values, "methods");
  options.n_seeds = values["seeds"].as<int>();
  job::validate(options);
  return options;
}

}  // namespace

int compare_command(const Invocation& invocation) {
  const CommandLine line = command_line();
  CommandLine known = line;
  known.groups.push_back(racing_option_group());  // parsed to be refused with the reason
  const po::variables_map values = parse(known, invocation.args);
  if (values.count("help") != 0) {
    if (speaks_for_all()) fmt::print("{}", help(line));
    return 0;
  }
  const job::CompareOptions options = options_of(values);
  const JobVoice voice{values["quiet"].as<bool>(), options.job.output.string(), "Tables",
                       (options.job.output / "compare.{h5,csv}").string()};
  return run_stoppable(
      invocation, options.job.threads, voice,
      [&](comm::Communicator& comm, const job::RunContext& context) {
        return job::compare_methods(comm, options, context);
      },
      results::print_comparison);
}

}  // namespace d2c::cli
