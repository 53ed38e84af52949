#include <array>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "members.hpp"
#include "methods/families.hpp"

namespace d2c::merge {
namespace {

/// Of a method that never needs all members at hand.
template <StreamFunction stream>
lora::Factors one_by_one(std::string_view module, std::span<const Member> members,
                         const Options& options) {
  return merge_all(*stream(module, shape_of(members), options), members);
}

template <Pruning pruning, Combination combination>
lora::Factors deltawise(std::string_view module, std::span<const Member> members,
                        const Options& options) {
  return merge_deltawise({pruning, combination}, module, members, options);
}

template <Pruning pruning, Combination combination>
std::unique_ptr<ModuleMerge> start_factors(std::string_view module, const UnitShape&,
                                           const Options& options) {
  return start_factorwise({pruning, combination}, module, options);
}

template <Pruning pruning, Combination combination>
std::unique_ptr<ModuleMerge> start_deltas(std::string_view module, const UnitShape& shape,
                                          const Options& options) {
  return start_deltawise({pruning, combination}, module, shape, options);
}

template <Inputs inputs>
std::unique_ptr<ModuleMerge> start_inputs(std::string_view module, const UnitShape& shape,
                                          const Options& options) {
  return start_regression(inputs, module, shape, options);
}

constexpr auto rows = std::to_array<Method>({
    {.name = "average",
     .summary = "best low-rank approximation of the weighted sum of the updates",
     .reference = "Eckart & Young 1936, through the R x R core of the stacked factors",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = one_by_one<start_average>,
     .cost = cost_of_core,
     .stream = start_average},
    {.name = "cat",
     .summary = "the weighted sum of the updates, exactly; its rank is the sum of the ranks",
     .reference = "PEFT LoraModel.add_weighted_adapter, cat",
     .mixed_ranks = true,
     .adds_ranks = true,
     .function = merge_cat,
     .cost = cost_of_factors},
    {.name = "linear",
     .summary = "weighted sums of A and of B apart; their product has cross terms B_i A_j",
     .reference = "PEFT LoraModel.add_weighted_adapter, linear",
     .function = one_by_one<start_factors<Pruning::none, Combination::sum>>,
     .cost = cost_of_factors,
     .stream = start_factors<Pruning::none, Combination::sum>},
    {.name = "ties",
     .summary = "A and B apart: prune small entries, elect signs, average those that agree",
     .reference = "Yadav et al., arXiv 2306.01708; PEFT merge_utils.ties",
     .uses_density = true,
     .uses_majority_sign = true,
     .function = one_by_one<start_factors<Pruning::magnitude, Combination::disjoint>>,
     .cost = cost_of_factors,
     .stream = start_factors<Pruning::magnitude, Combination::disjoint>},
    {.name = "dare_linear",
     .summary = "A and B apart: drop entries at random, rescale the rest, sum",
     .reference = "Yu et al., arXiv 2311.03099; PEFT merge_utils.dare_linear",
     .uses_density = true,
     .uses_seed = true,
     .function = one_by_one<start_factors<Pruning::random, Combination::sum>>,
     .cost = cost_of_factors,
     .stream = start_factors<Pruning::random, Combination::sum>},
    {.name = "dare_ties",
     .summary = "A and B apart: drop entries at random, rescale, elect signs, average",
     .reference = "Yu et al., arXiv 2311.03099; PEFT merge_utils.dare_ties",
     .uses_density = true,
     .uses_majority_sign = true,
     .uses_seed = true,
     .function = one_by_one<start_factors<Pruning::random, Combination::disjoint>>,
     .cost = cost_of_factors,
     .stream = start_factors<Pruning::random, Combination::disjoint>},
    {.name = "magnitude_prune",
     .summary = "A and B apart: prune small entries, sum",
     .reference = "PEFT merge_utils.magnitude_prune",
     .uses_density = true,
     .function = one_by_one<start_factors<Pruning::magnitude, Combination::sum>>,
     .cost = cost_of_factors,
     .stream = start_factors<Pruning::magnitude, Combination::sum>},
    {.name = "svd",
     .summary = "the weighted sum of the updates, truncated; another name of average",
     .reference = "PEFT LoraModel.add_weighted_adapter, svd (scaling once)",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = one_by_one<start_average>,
     .cost = cost_of_core,
     .stream = start_average},
    {.name = "ties_svd",
     .summary = "ties on the full updates, truncated",
     .reference = "PEFT LoraModel.add_weighted_adapter, ties_svd (scaling once)",
     .uses_merged_rank = true,
     .uses_density = true,
     .uses_majority_sign = true,
     .mixed_ranks = true,
     .function = deltawise<Pruning::magnitude, Combination::disjoint>,
     .cost = cost_of_deltas,
     .stream = start_deltas<Pruning::magnitude, Combination::disjoint>},
    {.name = "dare_linear_svd",
     .summary = "dare_linear on the full updates, truncated",
     .reference = "PEFT LoraModel.add_weighted_adapter, dare_linear_svd (scaling once)",
     .uses_merged_rank = true,
     .uses_density = true,
     .uses_seed = true,
     .mixed_ranks = true,
     .function = deltawise<Pruning::random, Combination::sum>,
     .cost = cost_of_deltas,
     .stream = start_deltas<Pruning::random, Combination::sum>},
    {.name = "dare_ties_svd",
     .summary = "dare_ties on the full updates, truncated",
     .reference = "PEFT LoraModel.add_weighted_adapter, dare_ties_svd (scaling once)",
     .uses_merged_rank = true,
     .uses_density = true,
     .uses_majority_sign = true,
     .uses_seed = true,
     .mixed_ranks = true,
     .function = deltawise<Pruning::random, Combination::disjoint>,
     .cost = cost_of_deltas,
     .stream = start_deltas<Pruning::random, Combination::disjoint>},
    {.name = "magnitude_prune_svd",
     .summary = "magnitude_prune on the full updates, truncated",
     .reference = "PEFT LoraModel.add_weighted_adapter, magnitude_prune_svd (scaling once)",
     .uses_merged_rank = true,
     .uses_density = true,
     .mixed_ranks = true,
     .function = deltawise<Pruning::magnitude, Combination::sum>,
     .cost = cost_of_deltas,
     .stream = start_deltas<Pruning::magnitude, Combination::sum>},
    {.name = "core_ties",
     .summary = "ties on the updates in the bases that all members share, truncated",
     .reference = "Panariello et al., arXiv 2509.17786",
     .uses_merged_rank = true,
     .uses_density = true,
     .uses_majority_sign = true,
     .mixed_ranks = true,
     .function = merge_core_ties,
     .cost = cost_of_core_space},
    {.name = "core_tsv",
     .summary = "singular vectors of all members made orthonormal in the shared bases, truncated",
     .reference = "Gargiulo et al., arXiv 2412.00081; Panariello et al., arXiv 2509.17786",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = merge_core_tsv,
     .cost = cost_of_core_space},
    {.name = "core_iso",
     .summary = "leading directions of the sum, all with the mean singular value",
     .reference = "Marczak et al., arXiv 2502.04959; Panariello et al., arXiv 2509.17786",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = merge_core_iso,
     .cost = cost_of_core_space},
    {.name = "knots_ties",
     .summary = "ties on the updates aligned by the SVD of all of them side by side, truncated",
     .reference = "Stoica et al., arXiv 2410.19735",
     .uses_merged_rank = true,
     .uses_density = true,
     .uses_majority_sign = true,
     .mixed_ranks = true,
     .function = merge_knots_ties,
     .cost = cost_of_knots},
    {.name = "lego",
     .summary = "k-means over the rank-one units of all members; centroids are the new units",
     .reference = "Zhao et al., arXiv 2409.16167",
     .uses_merged_rank = true,
     .uses_seed = true,
     .mixed_ranks = true,
     .function = merge_lego,
     .cost = cost_of_lego},
    {.name = "regmean",
     .summary = "regression on what each layer reads in the examples of the members' tasks",
     .reference = "Jin et al., arXiv 2212.09849, for low-rank updates; needs examples and model",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .uses_inputs = true,
     .function = one_by_one<start_inputs<Inputs::measured>>,
     .cost = cost_of_regression,
     .stream = start_inputs<Inputs::measured>},
    {.name = "regmean_datafree",
     .summary = "the same regression with inputs estimated from the updates: A^T (B^T B) A",
     .reference = "arXiv 2603.02945 and 2604.01329, for updates of full rank",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = one_by_one<start_inputs<Inputs::estimated>>,
     .cost = cost_of_regression,
     .stream = start_inputs<Inputs::estimated>},
});

/// An option that some methods read and others refuse.
struct Parameter {
  std::string_view option;
  bool Method::*used;
  bool (*is_set)(const Options& options);
  void (*reset)(Options& options);
};

template <auto field>
constexpr Parameter row_of(std::string_view option, bool Method::*used) {
  return {option, used, [](const Options& options) { return options.*field != Options().*field; },
          [](Options& options) { options.*field = Options().*field; }};
}

constexpr auto parameters = std::to_array<Parameter>({
    row_of<&Options::merged_rank>("--merged-rank", &Method::uses_merged_rank),
    row_of<&Options::density>("--density", &Method::uses_density),
    row_of<&Options::majority_sign>("--majority-sign-method", &Method::uses_majority_sign),
});

}  // namespace

std::span<const Method> methods() { return rows; }

const Method& find_method(std::string_view name) {
  std::vector<std::string_view> names;
  for (const Method& method : rows) {
    if (method.name == name) return method;
    names.push_back(method.name);
  }
  throw UsageError({fmt::format("there is no merge method '{}'", name), "",
                    fmt::format("choose one of: {}", fmt::join(names, ", "))});
}

void validate(const Method& method, const Options& options) {
  if (options.merged_rank < 0) {
    throw UsageError({fmt::format("merged rank {} is negative", options.merged_rank), "",
                      "give a rank of at least 1, or 0 for the largest rank of the members"});
  }
  if (!(options.density >= 0 && options.density <= 1)) {
    throw UsageError({fmt::format("density {} is not in (0, 1]", options.density),
                      "it is the share of entries that are kept", "give a value such as 0.5"});
  }
  if (method.uses_density && options.density == 0) {
    throw UsageError({fmt::format("method '{}' needs --density", method.name),
                      "it is the share of entries that are kept",
                      "give a value such as 0.2 or 0.5, or 1 to prune nothing"});
  }
  for (const Parameter& parameter : parameters) {
    if (method.*parameter.used || !parameter.is_set(options)) continue;
    throw UsageError({fmt::format("method '{}' does not read {}", method.name, parameter.option),
                      "the value would have no effect", "leave it out or choose another method"});
  }
}

Options read_by(const Method& method, Options options) {
  for (const Parameter& parameter : parameters) {
    if (!(method.*parameter.used)) parameter.reset(options);
  }
  return options;
}

std::vector<std::string_view> parameters_of(const Method& method) {
  std::vector<std::string_view> names;
  for (const Parameter& parameter : parameters) {
    if (method.*parameter.used) names.push_back(parameter.option);
  }
  if (method.uses_seed) names.emplace_back("--seed");
  return names;
}

}  // namespace d2c::merge
