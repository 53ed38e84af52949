#pragma once

#include <span>
#include <string_view>

#include "d2c/cluster/search.hpp"

namespace d2c::cluster {

/// A way to cluster tasks, selectable by name.
struct SearchMethod {
  std::string_view name;
  std::string_view summary;    ///< one line
  std::string_view reference;  ///< where it comes from; empty = here
  /// Options that it reads, besides the number of clusters, the constraints and those that end it.
  std::string_view parameters;
  SearchResult (*run)(const Problem& problem, const SearchOptions& options);
  /// The similarity it cannot do without.
  enum class Needs { nothing, similarity, trimmed_similarity } needs = Needs::nothing;
  /// Evaluations per task that it usually takes, for forecasts; the result's own are 1.
  double least_evaluations = 1;
  double most_evaluations = 1;
  /// Refuses tasks that it cannot search, before a loss is measured. Null = it can search any.
  /// @throws UsageError
  void (*check)(const SearchOptions& options, int n_tasks) = nullptr;
};

/// The default method comes first.
[[nodiscard]] std::span<const SearchMethod> search_methods();

/// @throws UsageError that lists the names
[[nodiscard]] const SearchMethod& search_method(std::string_view name);

}  // namespace d2c::cluster
