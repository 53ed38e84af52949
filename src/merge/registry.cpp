#include <array>
#include <cmath>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "d2c/merge/merge.hpp"

#include "families.hpp"

namespace d2c::merge {
namespace {

constexpr auto rows = std::to_array<Method>({
    {.name = "average",
     .summary = "best low-rank approximation of the weighted sum of the updates",
     .reference = "Eckart & Young 1936; R x R core of the stacked factors",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = merge_average},
    {.name = "cat",
     .summary = "the weighted sum of the updates, exactly; its rank is the sum of the ranks",
     .reference = "PEFT add_weighted_adapter, combination_type cat",
     .mixed_ranks = true,
     .function = merge_cat},
    {.name = "linear",
     .summary = "A and B summed apart, so that the result has cross terms B_i A_j",
     .reference = "PEFT add_weighted_adapter, combination_type linear",
     .function = merge_linear},
    {.name = "svd",
     .summary = "the weighted sum of the updates, truncated: the same result as average",
     .reference = "PEFT add_weighted_adapter, combination_type svd (scaling once)",
     .uses_merged_rank = true,
     .mixed_ranks = true,
     .function = merge_average},
});

void refuse_unread(const Method& method, bool set, std::string_view option) {
  if (!set) return;
  throw UsageError({fmt::format("method '{}' does not read {}", method.name, option),
                    "the value would have no effect", "leave it out or choose another method"});
}

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
  if (!(options.density > 0 && options.density <= 1)) {
    throw UsageError({fmt::format("density {} is not in (0, 1]", options.density),
                      "it is the share of entries that are kept", "give a value such as 0.5"});
  }
  refuse_unread(method, !method.uses_merged_rank && options.merged_rank != 0, "a merged rank");
  refuse_unread(method, !method.uses_density && options.density != 1.0, "a density");
  refuse_unread(method, !method.uses_majority_sign && options.majority_sign != MajoritySign::total,
                "a majority sign method");
}

}  // namespace d2c::merge
