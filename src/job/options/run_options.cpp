#include "d2c/job/run_options.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "d2c/cluster/registry.hpp"
#include "d2c/core/error.hpp"
#include "d2c/core/json.hpp"
#include "d2c/core/rng.hpp"

namespace d2c::job {
namespace {

void require(bool holds, const char* what, const char* why, const char* fix) {
  if (!holds) throw UsageError({what, why, fix});
}

const char* name_of(model::WeightChoice choice) {
  switch (choice) {
    case model::WeightChoice::automatic:
      return "auto";
    case model::WeightChoice::f32:
      return "f32";
    case model::WeightChoice::bf16:
      return "bf16";
  }
  return "";
}

const char* name_of(ops::Arithmetic arithmetic) {
  return arithmetic == ops::Arithmetic::bf16 ? "bf16" : "f32";
}

json::OrderedJson numeric_options(const RunOptions& options) {
  json::OrderedJson value;
  value["k"] = options.k;
  value["ks"] = options.ks;
  value["placed"] = options.placed;
  value["budget_mb"] = options.budget_mb;
  value["min_cluster_size"] = options.min_cluster_size;
  value["max_cluster_size"] = options.max_cluster_size;
  value["search"] = options.search;
  value["seed"] = options.seed;
  value["restarts"] = options.restarts;
  value["max_iterations"] = options.max_iterations;
  value["perturbations"] = options.perturbations;
  value["allow_empty"] = options.allow_empty;
  value["max_evaluations"] = options.max_evaluations;
  value["objective"] = cluster::name(options.objective);
  value["verify_examples"] = options.verify_examples;
  // What is off is left out: checkpoints from before it existed stay valid.
  if (options.cross_fit > 0) value["cross_fit"] = options.cross_fit;
  if (options.racing > 0) {
    value["racing"] = options.racing;
    value["racing_check"] = options.racing_check;
  }
  value["merge_method"] = options.merge_method;
  value["merged_rank"] = options.merge.merged_rank;
  value["density"] = options.merge.density;
  value["majority_sign_method"] =
      options.merge.majority_sign == merge::MajoritySign::total ? "total" : "frequency";
  value["scale"] = options.scale;
  value["tune_scale"] = options.tune_scale;
  value["tune_weights"] = options.tune_weights;
  value["loss_on"] = options.loss_on == eval::LossOn::response ? "response" : "all";
  value["batch_tokens"] = options.batch_tokens;
  value["weights"] = name_of(options.weights);
  if (options.compute != ops::Arithmetic::f32) value["compute"] = name_of(options.compute);
  return value;
}

}  // namespace

void validate(const RunOptions& options) {
  require(!options.output.empty(), "--output is missing", "the results need a place",
          "give a folder");
  validate_search(options);
}

void validate_search(const RunOptions& options) {
  require(options.k >= 0 && (options.k >= 1 || options.budget_mb > 0), "-K must be at least 1",
          "it is the number of merged adapters",
          "give the number of adapters that the device has room for");
  require(options.ks.empty() || options.search == "auto",
          "several numbers of clusters need --search auto",
          "its searches start from each other's results",
          "give one -K, or compare searches with `d2c compare`");
  require(options.sweep_pick == 0 ||
              std::ranges::find(options.ks, options.sweep_pick) != options.ks.end(),
          "--sweep-pick is not one of the numbers of clusters", "it names the one that is written",
          "give one of those after -K");
  require(std::isfinite(options.budget_mb) && options.budget_mb >= 0,
          "--budget-mb must be a positive number", "it is the room for merged adapters", "");
  validate_clustering(options);
}

void validate_clustering(const RunOptions& options) {
  require(options.min_cluster_size >= 1, "--min-cluster-size must be at least 1", "", "");
  require(options.max_cluster_size >= 0, "--max-cluster-size must not be negative", "",
          "give 0 for no limit");
  require(options.restarts >= 1, "--restarts must be at least 1", "", "give the number of starts");
  require(options.max_iterations >= 1, "--max-iterations must be at least 1", "", "");
  require(options.perturbations >= 0, "--perturbations must not be negative", "", "");
  (void)cluster::search_method(options.search);
  require(options.max_evaluations >= 0, "--max-evaluations must not be negative", "",
          "give 0 for no limit");
  require(options.verify_examples >= 0, "--verify-examples must not be negative", "",
          "give the number of examples per task to keep from the search");
  require(options.cross_fit == 0 || options.cross_fit >= 2, "--cross-fit must be at least 2",
          "one part of the examples is kept from each search, which needs another",
          "give the number of parts, such as 5, or 0 for none");
  require(options.racing >= 0 && options.racing < 1, "--racing must be above 0 and below 1",
          "it is the probability to drop the best cluster of a task", "give a number such as 0.05");
  require(options.racing_check >= 0 && options.racing_check <= 1,
          "--racing-check must be from 0 to 1", "it is the share of the races that is checked",
          "give a number such as 0.1");
  require(options.racing == 0 || options.cross_fit == 0, "--racing does not go with --cross-fit",
          "both divide the examples of the search", "leave one of them out");
  require(options.cross_fit == 0 || options.merge_method != medoid_method,
          "--cross-fit does not go with --method medoid",
          "medoids are chosen by all examples of the search, those that a part keeps back too",
          "leave one of them out");
  require(options.racing_check == 0 || options.racing > 0, "--racing-check needs --racing",
          "there are no races to check", "add --racing 0.05, or leave it out");
  require(options.batch_tokens >= 1, "--batch-tokens must be at least 1", "", "");
  require(options.threads >= 1, "--threads must be at least 1", "", "");
  require(options.max_hours >= 0, "--max-hours must not be negative", "", "give 0 for no limit");
  require(options.checkpoint_minutes >= 0, "--checkpoint-minutes must not be negative", "",
          "give 0 for a checkpoint only when a signal stops the job");
  require(options.ranks_per_node >= 0, "--ranks-per-node must not be negative", "", "");
  require(options.exchange_mib >= 1, "--exchange-mib must be at least 1", "", "");
  require(options.members_mib > 0, "--members-mib must be positive", "", "");
  require(options.merged_mib >= 1, "--merged-mib must be at least 1", "", "");
  require(std::isfinite(options.scale) && options.scale > 0, "--scale must be a positive number",
          "it is a factor on the merged update", "give a number such as 1.5, or auto");
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

std::string to_json(const RunOptions& options) {
  json::OrderedJson value;
  // `d2c add` reads both again, maybe from another folder.
  const auto absolute = [](const std::filesystem::path& path) {
    return path.empty() ? "" : std::filesystem::absolute(path).lexically_normal().string();
  };
  value["manifest"] = absolute(options.manifest);
  value["output"] = options.output.string();
  value["overwrite"] = options.overwrite;
  value.update(numeric_options(options));
  value["cross_fit"] = options.cross_fit;
  value["compute"] = name_of(options.compute);
  value["constraints"] = absolute(options.constraints);
  value["sweep_pick"] = options.sweep_pick;
  value["merged"] = options.merged_output == MergedOutput::peft   ? "peft"
                    : options.merged_output == MergedOutput::hdf5 ? "hdf5"
                                                                  : "both";
  value["merged_dtype"] = options.merged_dtype ? name_of(*options.merged_dtype) : "source";
  value["threads"] = options.threads;
  value["max_hours"] = options.max_hours;
  value["checkpoint_minutes"] = options.checkpoint_minutes;
  value["ranks_per_node"] = options.ranks_per_node;
  value["adapters_in"] = options.adapters_in == AdaptersIn::memory ? "memory"
                         : options.adapters_in == AdaptersIn::disk ? "disk"
                                                                   : "auto";
  value["adapter_cache_mib"] = options.adapter_cache_mib;
  value["exchange_mib"] = options.exchange_mib;
  value["members_mib"] = options.members_mib;
  value["merged_mib"] = options.merged_mib;
  value["race_mib"] = options.race_mib;
  value["balance"] = options.balance == comm::Balance::fixed ? "static" : "dynamic";
  return value.dump(1);
}

RunOptions options_from_json(const std::string& text, const std::filesystem::path& file) {
  const json::Json value = json::parse(text, file);
  try {
    RunOptions options;
    options.manifest = value.at("manifest").get<std::string>();
    options.k = value.at("k");
    options.search = value.at("search");
    options.seed = value.at("seed");
    options.merge.seed = options.seed;
    options.restarts = value.at("restarts");
    options.max_iterations = value.at("max_iterations");
    options.perturbations = value.at("perturbations");
    options.allow_empty = value.at("allow_empty");
    options.max_evaluations = value.at("max_evaluations");
    options.objective = cluster::objective_kind(value.at("objective").get<std::string>());
    options.verify_examples = value.at("verify_examples");
    options.cross_fit = value.value("cross_fit", options.cross_fit);
    options.constraints = value.at("constraints").get<std::string>();
    options.min_cluster_size = value.at("min_cluster_size");
    options.max_cluster_size = value.at("max_cluster_size");
    options.merge_method = value.at("merge_method");
    options.merge.merged_rank = value.at("merged_rank");
    options.merge.density = value.at("density");
    options.merge.majority_sign = value.at("majority_sign_method") == "total"
                                      ? merge::MajoritySign::total
                                      : merge::MajoritySign::frequency;
    options.scale = value.at("scale");
    options.tune_scale = value.at("tune_scale");
    options.tune_weights = value.at("tune_weights");
    options.racing = value.value("racing", 0.0);
    options.racing_check = value.value("racing_check", 0.0);
    options.loss_on = value.at("loss_on") == "all" ? eval::LossOn::all : eval::LossOn::response;
    options.batch_tokens = value.at("batch_tokens");
    for (const auto choice :
         {model::WeightChoice::automatic, model::WeightChoice::f32, model::WeightChoice::bf16}) {
      if (value.at("weights") == name_of(choice)) options.weights = choice;
    }
    if (value.value("compute", "f32") == name_of(ops::Arithmetic::bf16)) {
      options.compute = ops::Arithmetic::bf16;
    }
    options.merged_output = value.at("merged") == "hdf5"   ? MergedOutput::hdf5
                            : value.at("merged") == "both" ? MergedOutput::both
                                                           : MergedOutput::peft;
    for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
      if (value.at("merged_dtype") == name_of(type)) options.merged_dtype = type;
    }
    options.adapters_in = value.at("adapters_in") == "memory" ? AdaptersIn::memory
                          : value.at("adapters_in") == "disk" ? AdaptersIn::disk
                                                              : AdaptersIn::automatic;
    options.adapter_cache_mib = value.at("adapter_cache_mib");
    options.exchange_mib = value.at("exchange_mib");
    options.members_mib = value.value("members_mib", options.members_mib);
    options.merged_mib = value.at("merged_mib");
    return options;
  } catch (const json::Json::exception& error) {
    throw InputError({file, "config"}, {std::string("cannot be used: ") + error.what(),
                                        "the options of the result are read from it",
                                        "make the result with this version of d2c"});
  }
}

std::string config_hash(const RunOptions& options, const std::string& input) {
  return fmt::format("{:016x}", hash_name(numeric_options(options).dump() + input));
}

}  // namespace d2c::job
