#include "job_options.hpp"

#include <charconv>
#include <cstdlib>

#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"
#include "d2c/ops/thread_team.hpp"

#include "choice.hpp"
#include "commands/commands.hpp"
#include "numbers.hpp"

namespace d2c::cli {
namespace {

std::string method_list() {
  std::string names;
  for (const merge::Method& method : merge::methods()) {
    names += (names.empty() ? "" : ", ") + std::string(method.name);
  }
  return names;
}

std::string search_list() {
  std::string rows;
  for (const cluster::SearchMethod& search : cluster::search_methods()) {
    rows += fmt::format("{}{} ({})", rows.empty() ? "" : ", ", search.name, search.summary);
  }
  return rows;
}

std::int64_t as_mib(std::uint64_t size) { return static_cast<std::int64_t>(size); }

/// Value of an option that is a size in MiB.
std::uint64_t mib(const po::variables_map& values, const std::string& option) {
  constexpr std::int64_t most = std::int64_t{1} << 40;  // its bytes fit into 64 bits
  const auto size = values[option].as<std::int64_t>();
  if (size >= 0 && size <= most) return static_cast<std::uint64_t>(size);
  throw UsageError({fmt::format("--{} does not take {}", option, size), "it is a size in MiB",
                    "give 0 or more"});
}

/// -K or --budget-mb.
void read_cluster_counts(const po::variables_map& values, job::RunOptions& options) {
  const bool has_k = values.count("K") != 0;
  if (has_k == (values.count("budget-mb") != 0)) {
    throw UsageError({has_k ? "-K and --budget-mb exclude each other" : "-K is missing",
                      "it is the number of merged adapters",
                      "give the number of adapters that the device has room for, or --budget-mb"});
  }
  options.sweep_pick = values["sweep-pick"].as<int>();
  if (!has_k) {
    options.budget_mb = values["budget-mb"].as<double>();
    if (!(options.budget_mb > 0)) {
      throw UsageError({"--budget-mb must be a positive number",
                        "it is the room for merged adapters", "give the megabytes"});
    }
    return;
  }
  std::vector<int> ks = parse_numbers("-K", values["K"].as<std::string>());
  options.k = ks.back();
  if (ks.size() > 1) options.ks = std::move(ks);
}

/// --scale and --member-weights.
void read_refinement(const po::variables_map& values, job::RunOptions& options) {
  const auto& scale = values["scale"].as<std::string>();
  options.tune_scale = scale == "auto";
  if (!options.tune_scale) {
    const auto [end, error] =
        std::from_chars(scale.data(), scale.data() + scale.size(), options.scale);
    if (error != std::errc() || end != scale.data() + scale.size()) {
      throw UsageError({fmt::format("--scale does not take '{}'", scale),
                        "it is a factor on the merged update",
                        "give a number such as 1.5, or auto"});
    }
  }
  options.tune_weights = choice<bool>(values, "member-weights", {{"equal", false}, {"auto", true}});
}

}  // namespace

int default_threads() {
  for (const char* name : {"OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"}) {
    const char* text = std::getenv(name);
    if (text != nullptr && std::atoi(text) > 0) return std::atoi(text);
  }
  return 1;
}

void warn_of_threads(int n) {
  if (n <= ops::usable_processors() || !speaks_for_all()) return;
  fmt::print(stderr,
             "warning: --threads {} on {} usable processor{} (threads that share one wait for each "
             "other); give fewer, or more processors per rank: srun --cpus-per-task, mpirun "
             "--map-by slot:PE=n\n",
             n, ops::usable_processors(), ops::usable_processors() == 1 ? "" : "s");
}

void add_merge_options(po::options_description& group, const std::string& default_method,
                       const std::string& more_methods) {
  const merge::Options defaults;
  // clang-format off
  group.add_options()
      ("method", po::value<std::string>()->default_value(default_method),
       ("how adapters are merged: " + method_list() + more_methods + "; `d2c merge --list-methods` explains them").c_str())
      ("merged-rank", po::value<Index>()->default_value(0),
       "rank of a merged adapter, where the method chooses it; 0 = the largest rank of its members")
      ("density", po::value<double>()->default_value(defaults.density),
       "share of the entries that pruning methods keep, in (0, 1]")
      ("majority-sign-method", po::value<std::string>()->default_value("total"),
       "how TIES methods elect a sign: total (of the sum) or frequency (of the signs)")
      ("merged-dtype", po::value<std::string>()->default_value("source"),
       "number format of merged adapters: source (as the adapters), f32, f16 or bf16");
  // clang-format on
}

merge::Options merge_options(const po::variables_map& values) {
  merge::Options options;
  options.merged_rank = values["merged-rank"].as<Index>();
  options.density = values["density"].as<double>();
  options.majority_sign = choice<merge::MajoritySign>(
      values, "majority-sign-method",
      {{"total", merge::MajoritySign::total}, {"frequency", merge::MajoritySign::frequency}});
  if (values.count("seed") != 0) options.seed = values["seed"].as<std::uint64_t>();
  return options;
}

std::optional<DType> merged_dtype(const po::variables_map& values) {
  return choice<std::optional<DType>>(
      values, "merged-dtype",
      {{"source", std::nullopt}, {"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}});
}

model::Precision precision(const po::variables_map& values) {
  return {.weights = choice<model::WeightChoice>(values, "weights",
                                                 {{"auto", model::WeightChoice::automatic},
                                                  {"f32", model::WeightChoice::f32},
                                                  {"bf16", model::WeightChoice::bf16}}),
          .compute = choice<ops::Arithmetic>(
              values, "compute", {{"f32", ops::Arithmetic::f32}, {"bf16", ops::Arithmetic::bf16}})};
}

std::vector<po::options_description> job_option_groups() {
  const job::RunOptions defaults;
  po::options_description search("Clusters", kHelpWidth);
  // clang-format off
  search.add_options()
      ("K,K", po::value<std::string>()->value_name("K"),
       "number of merged adapters: the room that the device has. Several (3,5,8 or 1..12) give the objective as a curve over K")
      ("sweep-pick", po::value<int>()->value_name("K")->default_value(defaults.sweep_pick),
       "of several K, the one that is written; 0 = the knee of the curve")
      ("budget-mb", po::value<double>(), "instead of -K: room for merged adapters in MB (10^6 bytes); K is as many as fit")
      ("constraints", po::value<std::string>()->value_name("FILE"),
       "JSON file with tasks that share a cluster or must not: {\"together\": [[\"a\", \"b\"]], \"apart\": [[\"a\", \"c\"]]}")
      ("min-cluster-size", po::value<int>()->default_value(defaults.min_cluster_size), "tasks in a cluster at least")
      ("max-cluster-size", po::value<int>()->default_value(defaults.max_cluster_size), "tasks in a cluster at most; 0 = no limit")
      ("search", po::value<std::string>()->default_value(defaults.search),
       ("how clusters are found: " + search_list()).c_str())
      ("seed", po::value<std::uint64_t>()->default_value(defaults.seed), "of all random choices")
      ("restarts", po::value<int>()->default_value(defaults.restarts),
       "random starts of the searches that have some; the best result of all is returned")
      ("perturbations", po::value<int>()->default_value(defaults.perturbations),
       "of the search auto: it ends when so many in a row led to nothing better")
      ("max-iterations", po::value<int>()->default_value(defaults.max_iterations), "per start")
      ("max-evaluations", po::value<std::int64_t>()->default_value(defaults.max_evaluations),
       "stop after this many (task, merged adapter) evaluations; 0 = no limit")
      ("max-hours", po::value<double>()->default_value(defaults.max_hours),
       "end the search after so long, with the best so far (and without --cross-fit); 0 = no limit")
      ("allow-empty", po::bool_switch(), "leave a cluster empty that loses its last task")
      ("objective", po::value<std::string>()->default_value("loss"),
       "what is minimised: loss (mean over tasks), gain (each task's loss on the scale from its own "
       "adapter to the base model) or worst (the worst task on that scale)")
      ("verify-examples", po::value<int>()->default_value(defaults.verify_examples),
       "examples of each task to keep from the search, spread evenly over its file: what the result is worth on them is reported")
      ("cross-fit", po::value<int>()->value_name("F")->default_value(defaults.cross_fit),
       "repeat the search without each of F parts of the examples, and report what its clusters are worth on the part that it did not see; 0 = no. Not with --racing; left out if --max-hours passes first")
      ("loss-on", po::value<std::string>()->default_value("response"),
       "tokens that count: response or all");
  // clang-format on

  po::options_description merging("Merging", kHelpWidth);
  add_merge_options(
      merging, defaults.merge_method,
      ", medoid (no merging: the member that serves its cluster best), auto (average, and "
      "after the search the best of several for each cluster)");
  // clang-format off
  merging.add_options()
      ("scale", po::value<std::string>()->default_value("1"),
       "factor on merged updates, already while clusters are searched; or auto: 1 during the search, then a line search for each cluster")
      ("member-weights", po::value<std::string>()->default_value("equal"),
       "equal, or auto: after the search, the weights of each cluster's members are fitted");
  // clang-format on

  po::options_description machine("Machine", kHelpWidth);
  // clang-format off
  machine.add_options()
      ("threads", po::value<int>()->default_value(default_threads()),
       "per rank; OMP_NUM_THREADS or SLURM_CPUS_PER_TASK set the default")
      ("weights", po::value<std::string>()->default_value("auto"), kWeightsHelp)
      ("compute", po::value<std::string>()->default_value("f32"), kComputeHelp)
      ("batch-tokens", po::value<Index>()->default_value(defaults.batch_tokens),
       "tokens per forward pass at most; bounds the memory of activations")
      ("ranks-per-node", po::value<int>()->default_value(defaults.ranks_per_node),
       "ranks that share one copy of the base weights; 0 = all of a node")
      ("adapters-in", po::value<std::string>()->default_value("auto"),
       "where a rank keeps its adapters: memory, disk (their factors are read again when a merge "
       "needs them) or auto (memory if they fit on every host); the results are the same")
      ("adapter-cache-mib", po::value<std::int64_t>()->default_value(as_mib(defaults.adapter_cache_mib)),
       "with disk: factors kept in memory after they were read, MiB")
      ("exchange-mib", po::value<std::int64_t>()->default_value(as_mib(defaults.exchange_mib)),
       "factors on their way to a rank at a time, MiB")
      ("members-mib", po::value<double>()->default_value(defaults.members_mib),
       "factors of one module that a rank holds at most where the merge method needs all members of "
       "a cluster at a time, MiB; larger clusters are refused")
      ("merged-mib", po::value<std::int64_t>()->default_value(as_mib(defaults.merged_mib)),
       "merged adapters on a node at a time, MiB")
      ("balance", po::value<std::string>()->default_value("dynamic"),
       "how evaluations are spread over ranks: dynamic (ranks that finish early take over from others) "
       "or static; the numbers are the same");
  // clang-format on
  return {search, merging, machine};
}

po::options_description racing_option_group() {
  const job::RunOptions defaults;
  po::options_description racing("Racing (saves evaluations, inexact)", kHelpWidth);
  // clang-format off
  racing.add_options()
      ("racing", po::value<double>()->value_name("P"),
       "drop a cluster for a task when some examples tell it from the best one; a race loses the best "
       "cluster with probability P at most, such as 0.05. The objective of the result stays exact")
      ("racing-check", po::value<double>()->value_name("SHARE")->default_value(defaults.racing_check),
       "share of the races, drawn at random, whose dropped clusters are measured all the same, to report "
       "how often and by how much racing was wrong")
      ("race-mib", po::value<std::int64_t>()->default_value(as_mib(defaults.race_mib)),
       "keys and values of shared prefixes that a race keeps from one part of the examples to the next, MiB; "
       "with less than it needs they are computed again, with the same result");
  // clang-format on
  return racing;
}

void refuse_option(const po::variables_map& values, const std::string& option,
                   const std::string& why, const std::string& fix) {
  if (values.count(option) == 0 || values[option].defaulted()) return;
  throw UsageError({fmt::format("--{} is not taken here", option), why, fix});
}

void refuse_racing(const po::variables_map& values) {
  for (const char* option : {"racing", "racing-check", "race-mib"}) {
    refuse_option(values, option, "only `d2c run` races", "leave it out");
  }
}

void read_racing(const po::variables_map& values, job::RunOptions& options) {
  options.racing_check = values["racing-check"].as<double>();
  options.race_mib = mib(values, "race-mib");
  if (values.count("racing") == 0) return;
  options.racing = values["racing"].as<double>();
  if (!(options.racing > 0 && options.racing < 1)) {
    throw UsageError(
        {fmt::format("--racing is {:g}, but must be above 0 and below 1", options.racing),
         "it is the probability to drop the best cluster of a task",
         "give a number such as 0.05, or leave it out for exact evaluation"});
  }
}

job::RunOptions job_options(const po::variables_map& values) {
  job::RunOptions options;
  options.manifest = values["manifest"].as<std::string>();
  read_cluster_counts(values, options);
  if (values.count("constraints") != 0)
    options.constraints = values["constraints"].as<std::string>();
  options.min_cluster_size = values["min-cluster-size"].as<int>();
  options.max_cluster_size = values["max-cluster-size"].as<int>();
  options.search = values["search"].as<std::string>();
  options.perturbations = values["perturbations"].as<int>();
  options.seed = values["seed"].as<std::uint64_t>();
  options.restarts = values["restarts"].as<int>();
  options.max_iterations = values["max-iterations"].as<int>();
  options.max_evaluations = values["max-evaluations"].as<std::int64_t>();
  options.max_hours = values["max-hours"].as<double>();
  options.allow_empty = values["allow-empty"].as<bool>();
  options.objective = cluster::objective_kind(values["objective"].as<std::string>());
  options.verify_examples = values["verify-examples"].as<int>();
  options.cross_fit = values["cross-fit"].as<int>();
  options.loss_on = choice<eval::LossOn>(
      values, "loss-on", {{"response", eval::LossOn::response}, {"all", eval::LossOn::all}});
  options.merge_method = values["method"].as<std::string>();
  options.merge = merge_options(values);
  options.merged_dtype = merged_dtype(values);
  read_refinement(values, options);
  options.threads = values["threads"].as<int>();
  options.weights = precision(values).weights;
  options.compute = precision(values).compute;
  options.batch_tokens = values["batch-tokens"].as<Index>();
  options.ranks_per_node = values["ranks-per-node"].as<int>();
  options.adapters_in = choice<job::AdaptersIn>(values, "adapters-in",
                                                {{"memory", job::AdaptersIn::memory},
                                                 {"disk", job::AdaptersIn::disk},
                                                 {"auto", job::AdaptersIn::automatic}});
  options.adapter_cache_mib = mib(values, "adapter-cache-mib");
  options.exchange_mib = mib(values, "exchange-mib");
  options.members_mib = values["members-mib"].as<double>();
  options.merged_mib = mib(values, "merged-mib");
  options.balance = choice<comm::Balance>(
      values, "balance", {{"static", comm::Balance::fixed}, {"dynamic", comm::Balance::dynamic}});
  return options;
}

}  // namespace d2c::cli
