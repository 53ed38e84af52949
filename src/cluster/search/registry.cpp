#include "d2c/cluster/registry.hpp"

#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

#include "search/methods.hpp"

namespace d2c::cluster {
namespace {

using Needs = SearchMethod::Needs;

constexpr std::array methods{
    SearchMethod{"auto", "good starts, then moves, swaps and splits valued by real merges", "",
                 auto_search},
    SearchMethod{"d2c", "alternation of merging and reassignment by loss, from random starts",
                 "D2C: data-driven clustering and merging of LoRA adapters", d2c_search},
    SearchMethod{"kmeans", "k-means on the cosine similarity of the adapters' weight changes",
                 "Dhillon, Guan, Kulis, KDD 2004", kmeans_search, Needs::similarity},
    SearchMethod{"kmeans_trimmed",
                 "k-means on the largest entries of A and B, after a truncated SVD",
                 "the variant with trimmed factors; k-means++ of Arthur, Vassilvitskii, 2007",
                 kmeans_trimmed_search, Needs::trimmed_similarity},
    SearchMethod{"spectral", "spectral clustering on the cosine similarity",
                 "Ng, Jordan, Weiss, NIPS 2001", spectral_search, Needs::similarity},
    SearchMethod{"agglomerative", "average linkage on the cosine similarity",
                 "Sokal, Michener, 1958", agglomerative_search, Needs::similarity},
    SearchMethod{"agglomerative_loss", "merges the pair of clusters that raises the loss least",
                 "after Ward, 1963", agglomerative_loss_search},
    SearchMethod{"random", "one random partition", "", random_search},
    SearchMethod{"one", "all tasks in one cluster", "", one_search},
    SearchMethod{"own", "every task its own adapter", "", own_search},
    SearchMethod{"exhaustive", "the optimum; for up to 14 tasks", "", exhaustive_search},
};

}  // namespace

std::span<const SearchMethod> search_methods() { return methods; }

const SearchMethod& search_method(std::string_view name) {
  std::string names;
  for (const SearchMethod& method : methods) {
    if (method.name == name) return method;
    names += names.empty() ? "" : ", ";
    names += method.name;
  }
  throw UsageError({fmt::format("there is no search '{}'", name), "", "use one of: " + names});
}

}  // namespace d2c::cluster
