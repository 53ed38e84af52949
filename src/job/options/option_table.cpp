#include "d2c/job/option_table.hpp"

#include <chrono>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/cluster/registry.hpp"

#include "options/cluster_counts.hpp"

namespace d2c::job {
namespace {

using namespace option;

using Rows = std::vector<RunOption>;
using Value = OptionValue<RunOptions>;

constexpr auto scored_tokens = enum_names<eval::LossOn>({
    {eval::LossOn::response, "response"},
    {eval::LossOn::all, "all"},
});
constexpr auto majority_signs = enum_names<merge::MajoritySign>({
    {merge::MajoritySign::total, "total"},
    {merge::MajoritySign::frequency, "frequency"},
});
constexpr auto merged_dtypes = enum_names<std::optional<DType>>({
    {std::nullopt, "source"},
    {DType::f32, "f32"},
    {DType::f16, "f16"},
    {DType::bf16, "bf16"},
});
constexpr auto weight_choices = enum_names<model::WeightChoice>({
    {model::WeightChoice::automatic, "auto"},
    {model::WeightChoice::f32, "f32"},
    {model::WeightChoice::bf16, "bf16"},
});
constexpr auto arithmetics = enum_names<ops::Arithmetic>({
    {ops::Arithmetic::f32, "f32"},
    {ops::Arithmetic::bf16, "bf16"},
});
constexpr auto devices = enum_names<eval::Device>({
    {eval::Device::cpu, "cpu"},
    {eval::Device::cuda, "cuda"},
    {eval::Device::automatic, "auto"},
});
constexpr auto residences = enum_names<AdaptersIn>({
    {AdaptersIn::memory, "memory"},
    {AdaptersIn::disk, "disk"},
    {AdaptersIn::automatic, "auto"},
});
constexpr auto bad_adapter_rules = enum_names<OnBadAdapter>({
    {OnBadAdapter::fail, "fail"},
    {OnBadAdapter::skip, "skip"},
});
constexpr auto final_losses = enum_names<FinalLosses>({
    {FinalLosses::own, "own"},
    {FinalLosses::all, "all"},
});
constexpr auto refinements = enum_names<Refinement>({
    {Refinement::none, "none"},
    {Refinement::distill, "distill"},
});
constexpr auto efforts = enum_names<Effort>({
    {Effort::quick, "quick"},
    {Effort::usual, "default"},
    {Effort::thorough, "thorough"},
});
constexpr auto balances = enum_names<comm::Balance>({
    {comm::Balance::fixed, "static"},
    {comm::Balance::dynamic, "dynamic"},
});
constexpr auto outputs = enum_names<MergedOutput>({
    {MergedOutput::peft, "peft"},
    {MergedOutput::hdf5, "hdf5"},
    {MergedOutput::both, "both"},
});

constexpr Range size_in_mib(double least) {
  return {.least = least, .most = 1099511627776.0};  // its bytes fit into 64 bits
}

/// Names and summaries of the searches.
std::string search_list() {
  std::string rows;
  for (const cluster::SearchMethod& search : cluster::search_methods()) {
    rows += rows.empty() ? "" : ", ";
    rows.append(search.name).append(" (").append(search.summary).append(")");
  }
  return rows;
}

template <class Registry>
std::vector<std::string_view> names_of(const Registry& rows) {
  std::vector<std::string_view> names;
  for (const auto& row : rows) names.push_back(row.name);
  return names;
}

std::vector<std::string_view> method_names() {
  std::vector<std::string_view> names = names_of(merge::methods());
  names.push_back(medoid_method);
  return names;
}

/// -K: one number of clusters, or several.
Value cluster_counts() {
  return {OptionKind::mixed,
          [](const RunOptions& options) {
            if (!options.ks.empty()) return counts_text(options.ks);
            return options.k == 0 ? "" : std::to_string(options.k);
          },
          [](RunOptions& options, std::string_view text) -> std::optional<Message> {
            auto counts = parse_counts(text);
            if (!counts) {
              return Message{
                  "does not take '" + std::string(text) + "'", "",
                  "give a number of at least 1, a list like 3,5,8 or a range like 1..12"};
            }
            options.k = counts->back();
            if (counts->size() == 1) counts->clear();
            options.ks = std::move(*counts);
            return std::nullopt;
          }};
}

/// --seed, of the merge methods too.
Value seed() {
  Value value = number(&RunOptions::seed);
  value.set = [set = value.set](RunOptions& options, std::string_view text) {
    auto problem = set(options, text);
    options.merge.seed = options.seed;
    return problem;
  };
  return value;
}

/// A day of the calendar.
Value date(std::string RunOptions::*member) {
  Value value = option::text(member);
  value.set = [member](RunOptions& options, std::string_view given) -> std::optional<Message> {
    unsigned year = 0;
    unsigned month = 0;
    unsigned day = 0;
    const std::string copy(given);
    const bool is_date =
        given.empty() ||
        (std::sscanf(copy.c_str(), "%4u-%2u-%2u", &year, &month, &day) == 3 &&
         fmt::format("{:04}-{:02}-{:02}", year, month, day) == given &&
         std::chrono::year_month_day{std::chrono::year(static_cast<int>(year)),
                                     std::chrono::month(month), std::chrono::day(day)}
             .ok());
    if (!is_date) {
      return Message{"does not take '" + copy + "'", "", "give a day such as 2026-01-31"};
    }
    options.*member = copy;
    return std::nullopt;
  };
  return value;
}

Rows input_rows() {
  using namespace traits;
  return {
      {{"manifest", path(&RunOptions::manifest), "JSON file of the tasks, or their folder"}, jobs},
      {{"on-bad-adapter", words(&RunOptions::on_bad_adapter, bad_adapter_rules),
        "what to do about an adapter that is missing, damaged, not finite or of another model: "
        "fail (the job ends), or skip (its tasks are left out and named in the report and the "
        "results)"},
       jobs},
      // Not on any command line.
      {{"placed", number(&RunOptions::placed, at_least(0)),
        "tasks that had a cluster before `d2c add`"},
       decides_numbers},
  };
}

Rows cluster_rows() {
  using namespace traits;
  using O = RunOptions;
  return {
      {{"K", cluster_counts(),
        "number of merged adapters: the room that the device has. Several (3,5,8 or 1..12) give "
        "the objective as a curve over K",
        "K"},
       jobs | decides_numbers},
      {{"sweep-pick", number(&O::sweep_pick, at_least(0)),
        "of several K, the one that is written; 0 = the knee of the curve", "K"}},
      {{"budget-mb", number(&O::budget_mb, at_least(0)),
        "instead of -K: room for merged adapters in MB (10^6 bytes); K is as many as fit"},
       run | plan | decides_numbers},
      {{"constraints", path(&O::constraints),
        "JSON file with tasks that share a cluster or must not: {\"together\": [[\"a\", \"b\"]], "
        "\"apart\": [[\"a\", \"c\"]]}",
        "FILE"},
       jobs},
      {{"min-cluster-size", number(&O::min_cluster_size, at_least(1)),
        "tasks in a cluster at least"},
       jobs | decides_numbers},
      {{"max-cluster-size", number(&O::max_cluster_size, at_least(0)),
        "tasks in a cluster at most; 0 = no limit"},
       jobs | decides_numbers},
      {{"search", name_among(&O::search, names_of(cluster::search_methods())),
        "how clusters are found: " + search_list()},
       run | plan | decides_numbers},
      {{"seed", seed(), "of all random choices"}, jobs | merge | decides_numbers},
      {{"restarts", number(&O::restarts, at_least(1)),
        "random starts of the searches that have some; the best result of all is returned"},
       jobs | decides_numbers},
      {{"perturbations", number(&O::perturbations, at_least(0)),
        "of the search auto: it ends when so many in a row led to nothing better"},
       jobs | decides_numbers},
      {{"max-iterations", number(&O::max_iterations, at_least(1)), "per start"},
       jobs | decides_numbers},
      {{"effort", words(&O::effort, efforts),
        "what the job may spend where --max-evaluations, --refine-steps and --refine-variants do "
        "not say it: quick (the search auto measures 9 losses for each task; 40 steps), default "
        "(1,000 losses more; 150 steps) or thorough (four times the default; 500 steps)"},
       jobs | decides_numbers},
      {{"max-evaluations", number(&O::max_evaluations, at_least(0)),
        "stop the search after this many (task, merged adapter) evaluations; 0 = as --effort says "
        "for the search auto, else no limit"},
       jobs | decides_numbers},
      {{"max-hours", number(&O::max_hours, at_least(0)),
        "end the search after so long, with the best so far; 0 = no limit"}},
      {{"allow-empty", flag(&O::allow_empty), "leave a cluster empty that loses its last task"},
       jobs | decides_numbers},
      {{"objective", words(&O::objective, cluster::objective_names),
        "what is minimised: loss (mean over tasks), gain (each task's loss on the scale from its "
        "own adapter to the base model) or worst (the worst task on that scale)"},
       jobs | decides_numbers},
      {{"verify-examples", number(&O::verify_examples, at_least(0)),
        "examples of each task to keep from the search, spread evenly over its file: what the "
        "result is worth on them is reported"},
       jobs | decides_numbers},
      {{"final-losses", words(&O::final_losses, final_losses),
        "losses of the result that are measured: own (of every task under its own cluster) or all "
        "(under every cluster, tasks times K evaluations), which show whether another cluster "
        "would "
        "serve a task better"}},
      {{"loss-on", words(&O::loss_on, scored_tokens), "tokens that count: response or all"},
       jobs | evaluate | decides_numbers},
      {{"chat-date", date(&O::chat_date),
        "the day that chat templates are told when they ask for today's date, so that a job gives "
        "the same numbers on any day; without it such templates are refused",
        "YYYY-MM-DD"},
       jobs | evaluate | generate | decides_numbers},
  };
}

Rows merging_rows() {
  using namespace traits;
  using O = RunOptions;
  using M = merge::Options;
  return {
      {{"method", name_among(&O::merge_method, method_names()),
        fmt::format("how adapters are merged: {} (no merging: the member that serves its cluster "
                    "best); `d2c merge --list-methods` explains them",
                    fmt::join(method_names(), ", "))},
       run | plan | decides_numbers},
      {{"merged-rank", inside(&O::merge, number(&M::merged_rank, at_least(0))),
        "rank of a merged adapter, where the method chooses it; 0 = the largest rank of its "
        "members"},
       jobs | merge | decides_numbers},
      {{"density", inside(&O::merge, number(&M::density, {.least = 0, .most = 1})),
        "share of the entries that pruning methods (ties, dare_*, magnitude_prune, core_ties, "
        "knots_ties) keep, above 0 and at most 1: they need it, as in PEFT. 0 = not given"},
       jobs | merge | decides_numbers},
      {{"majority-sign-method", inside(&O::merge, words(&M::majority_sign, majority_signs)),
        "how TIES methods elect a sign: total (of the sum) or frequency (of the signs)"},
       jobs | merge | decides_numbers},
      {{"merged-dtype", words(&O::merged_dtype, merged_dtypes),
        "number format of merged adapters: source (as the adapters), f32, f16 or bf16"},
       jobs | merge | decides_numbers},
      {{"scale", number(&O::scale, above(0)), "factor on merged updates"}, jobs | decides_numbers},
      {{"refine", words(&O::refinement, refinements),
        "after the search: distill (the factors of each cluster's merged adapter are trained to "
        "predict on the few-shot examples what the members' own adapters predict there) or none"},
       jobs | decides_numbers},
      {{"refine-steps", number(&O::refine_steps, at_least(0)),
        "steps of the distillation; 0 = as --effort says"},
       jobs | decides_numbers},
      {{"refine-batch", number(&O::refine_batch, at_least(0)),
        "examples of each task that a step learns, at three evaluations each; 0 = all"},
       jobs | decides_numbers},
      {{"refine-variants", number(&O::refine_variants, at_least(0)),
        "variants of each example that are learnt too; 0 = as --effort says: tokens of the prompt "
        "are exchanged, and the "
        "member's own adapter writes the answer"},
       jobs | decides_numbers},
      {{"refine-lr", number(&O::refine_rate, at_least(0)),
        "learning rate of the first step; 0 = a share of the size of the factors"},
       jobs | decides_numbers},
  };
}

Rows machine_rows() {
  using namespace traits;
  using O = RunOptions;
  return {
      {{"threads", number(&O::threads, at_least(1)),
        "per rank; OMP_NUM_THREADS or SLURM_CPUS_PER_TASK set the default"},
       jobs | add | evaluate | generate | bench | of_the_call},
      {{"weights", words(&O::weights, weight_choices),
        "how the base model's matrices lie in memory: f32; bf16, in half of it, which rounds "
        "unless the files are BF16; auto = bf16 where nothing is lost"},
       jobs | evaluate | generate | bench | decides_numbers},
      {{"compute", words(&O::compute, arithmetics),
        "arithmetic of products with the base model's matrices: f32; bf16, 1.3 to 1.9 times as "
        "fast, which rounds activations to BF16 and needs BF16 weights and a processor with "
        "AVX512_BF16. Sums, adapters and losses are float32 either way"},
       jobs | evaluate | generate | bench | decides_numbers},
      {{"device", words(&O::device, devices),
        "what computes losses: cpu; cuda (a GPU for each rank, in builds with CUDA; the rest stays "
        "on the CPU), which has never run on a GPU yet; auto = cuda where every rank has a GPU"},
       jobs | evaluate | decides_numbers | of_the_call},
      {{"ranks-per-gpu", number(&O::ranks_per_gpu, at_least(1)),
        "with --device cuda: ranks that share a GPU at most"},
       jobs | of_the_call},
      {{"batch-tokens", number(&O::batch_tokens, at_least(1)),
        "tokens per forward pass at most; bounds the memory of activations"},
       jobs | evaluate | decides_numbers},
      {{"ranks-per-node", number(&O::ranks_per_node, at_least(0)),
        "ranks that share one copy of the base weights; 0 = all of a node"},
       jobs | add | generate | of_the_call},
      {{"adapters-in", words(&O::adapters_in, residences),
        "where a rank keeps its adapters: memory, disk (their factors are read again when a merge "
        "needs them) or auto (memory if they fit on every host); the results are the same"},
       jobs},
      {{"adapter-cache-mib", number(&O::adapter_cache_mib, size_in_mib(0)),
        "with disk: factors kept in memory after they were read, MiB"},
       jobs},
      {{"exchange-mib", number(&O::exchange_mib, size_in_mib(1)),
        "factors on their way to a rank at a time, MiB"},
       jobs},
      {{"members-mib", number(&O::members_mib, above(0)),
        "factors of one module that a rank holds at most where the merge method needs all members "
        "of a cluster at a time, MiB; larger clusters are refused"},
       jobs},
      {{"merged-mib", number(&O::merged_mib, size_in_mib(1)),
        "merged adapters on a node at a time, MiB"},
       jobs},
      {{"balance", words(&O::balance, balances),
        "how evaluations are spread over ranks: dynamic (ranks that finish early take over from "
        "others) or static; the numbers are the same"},
       jobs},
  };
}

Rows output_rows() {
  using namespace traits;
  using O = RunOptions;
  constexpr unsigned writers = run | compare | add;
  return {
      {{"output", path(&O::output), "folder for the results; made if absent"},
       writers | of_the_call},
      {{"overwrite", flag(&O::overwrite), "replace the results of an earlier job in that folder"},
       writers | of_the_call},
      {{"merged", words(&O::merged_output, outputs),
        "where merged adapters go: peft (folders), hdf5 (results.h5) or both"},
       run},
      {{"checkpoint-minutes", number(&O::checkpoint_minutes, at_least(0)),
        "time between checkpoints, of which none takes more than a twentieth; 0 = only when "
        "SIGUSR1 or SIGTERM stops the job (exit code 4)"},
       run | compare},
  };
}

Rows all_rows() {
  Rows all;
  for (auto& [group, rows] : {std::pair{"Input", input_rows()},
                              {"Clusters", cluster_rows()},
                              {"Merging", merging_rows()},
                              {"Machine", machine_rows()},
                              {"Output", output_rows()}}) {
    for (const RunOption& row : rows) all.emplace_back(row).group = group;
  }
  return all;
}

}  // namespace

std::span<const RunOption> option_table() {
  static const Rows rows = all_rows();
  return rows;
}

std::vector<std::pair<std::string, std::string>> changed_options(const RunOptions& options) {
  std::vector<std::pair<std::string, std::string>> changed;
  const RunOptions defaults;
  for (const RunOption& row : option_table()) {
    if (!row.has(traits::run) || row.has(traits::of_the_call) || row.name == "manifest") continue;
    std::string text = row.value.text(options);
    if (text != row.value.text(defaults)) changed.emplace_back(row.name, std::move(text));
  }
  return changed;
}

}  // namespace d2c::job
