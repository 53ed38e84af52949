#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "schema/groups.hpp"
#include "schema/meaning.hpp"

namespace d2c::results {

inline constexpr Schema results_schema{"d2c-results", 1};

/// Every task has one of the clusters.
[[nodiscard]] inline bool is_assignment(const std::vector<int>& clusters, int n_clusters) {
  return std::all_of(clusters.begin(), clusters.end(),
                     [&](int cluster) { return cluster >= 0 && cluster < n_clusters; });
}

/// The one description of schema 1. An archive is a writer (Results is const) or a reader; both
/// offer attribute, index, scale, local_scale, array, scalar, names and optional_group.
/// Keep docs/user/results-schema.md in step: a test compares them.
template <class Archive, class Results>
void visit_schema(Archive& archive, Results& results) {
  detail::visit_provenance(archive, results);
  const std::string objective_units = results.objective_kind == "loss" ? detail::nats : "1";
  detail::visit_tasks(archive, results);
  detail::visit_skipped(archive, results.skipped);
  archive.index("cluster", "cluster", results.n_clusters, {"cluster", "1", "0-based"});
  detail::visit_iterations(archive, results, objective_units);
  detail::visit_restarts(archive, results, objective_units);
  detail::visit_result(archive, results, objective_units);
  detail::visit_baselines(archive, "baseline", results.tasks, results.baselines);
  detail::visit_unseen(archive, results, objective_units);
  detail::visit_timing(archive, results);
  detail::visit_evaluations(archive, results);
  detail::visit_curve(archive, results, objective_units);
  detail::visit_sweep(archive, results, objective_units);
  detail::visit_recipe(archive, results);
  detail::visit_refine(archive, results, objective_units);
  detail::visit_distill(archive, results);
}

}  // namespace d2c::results
