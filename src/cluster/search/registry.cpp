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
    SearchMethod{.name = "auto",
                 .summary = "good starts, then moves, swaps and splits valued by real merges",
                 .reference = "",
                 .parameters = "seed, perturbations",
                 .run = auto_search,
                 .least_evaluations = 60,
                 .most_evaluations = 300},
    SearchMethod{.name = "d2c",
                 .summary = "alternation of merging and reassignment by loss, from random starts",
                 .reference = "D2C: data-driven clustering and merging of LoRA adapters",
                 .parameters = "seed, restarts, max-iterations, allow-empty",
                 .run = d2c_search,
                 .least_evaluations = 80,
                 .most_evaluations = 280},
    SearchMethod{.name = "kmeans",
                 .summary = "k-means on the cosine similarity of the adapters' weight changes",
                 .reference = "Dhillon, Guan, Kulis, KDD 2004",
                 .parameters = "seed",
                 .run = kmeans_search,
                 .needs = Needs::similarity},
    SearchMethod{
        .name = "kmeans_trimmed",
        .summary = "k-means on the largest entries of A and B, after a truncated SVD",
        .reference = "the variant with trimmed factors; k-means++ of Arthur, Vassilvitskii, 2007",
        .parameters = "seed",
        .run = kmeans_trimmed_search,
        .needs = Needs::trimmed_similarity},
    SearchMethod{.name = "spectral",
                 .summary = "spectral clustering on the cosine similarity",
                 .reference = "Ng, Jordan, Weiss, NIPS 2001",
                 .parameters = "seed",
                 .run = spectral_search,
                 .needs = Needs::similarity},
    SearchMethod{.name = "agglomerative",
                 .summary = "average linkage on the cosine similarity",
                 .reference = "Sokal, Michener, 1958",
                 .parameters = "",
                 .run = agglomerative_search,
                 .needs = Needs::similarity},
    SearchMethod{.name = "agglomerative_loss",
                 .summary = "merges the pair of clusters that raises the loss least",
                 .reference = "after Ward, 1963",
                 .parameters = "",
                 .run = agglomerative_loss_search,
                 .least_evaluations = 8,
                 .most_evaluations = 50},
    SearchMethod{.name = "random",
                 .summary = "one random partition",
                 .reference = "",
                 .parameters = "seed, allow-empty",
                 .run = random_search},
    SearchMethod{.name = "one",
                 .summary = "all tasks in one cluster",
                 .reference = "",
                 .parameters = "",
                 .run = one_search},
    SearchMethod{.name = "own",
                 .summary = "every task its own adapter",
                 .reference = "",
                 .parameters = "",
                 .run = own_search},
    SearchMethod{.name = "exhaustive",
                 .summary = "the optimum; for up to 14 tasks",
                 .reference = "",
                 .parameters = "",
                 .run = exhaustive_search,
                 .check = check_exhaustive},
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
