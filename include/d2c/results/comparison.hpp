#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "d2c/results/run_results.hpp"

namespace d2c::results {

/// Ways to serve the tasks, side by side. A row is a merge method, a search and a number of
/// clusters; each was tried with several seeds. NaN = not measured.
struct Comparison {
  Provenance provenance;
  TaskTable tasks;
  SkippedTable skipped;
  std::string objective_kind = "loss";
  std::vector<std::int64_t> seed;         ///< [seed]
  std::vector<std::string> method;        ///< [row]; empty where nothing is merged
  std::vector<std::string> search;        ///< [row] or base, own, one
  std::vector<int> k;                     ///< [row]; 0 = not a number of clusters
  std::vector<double> objective;          ///< [row, seed] on the examples that searches look at
  std::vector<double> gain;               ///< [row, seed] weighted mean over tasks
  std::vector<double> verify_objective;   ///< [row, seed] on examples kept from the search
  std::vector<double> heldout_objective;  ///< [row, seed] on the test split
  std::vector<double> heldout_gain;       ///< [row, seed] weighted mean over tasks
  std::vector<std::int64_t> evaluations;  ///< [row, seed] losses that the search needs by itself
  std::vector<std::int64_t> measured;     ///< [row, seed] of these, not known from other rows
  std::vector<double> seconds;            ///< [row, seed] wall time, given what was known
  std::vector<double> loss;               ///< [row, seed, task] as objective
  std::vector<double> heldout_loss;       ///< [row, seed, task]

  [[nodiscard]] std::size_t n_rows() const { return search.size(); }
};

enum class IfExists { refuse, replace };

/// Writes the tables described in docs/user/compare.md, and one line per row and seed as CSV
/// (RFC 4180) beside them. The tables come last: where they are, both are. What fails leaves
/// neither.
/// @throws InputError if there are tables that must stay; IoError; ContractError if sizes disagree
void write_comparison(const std::filesystem::path& tables, const std::filesystem::path& csv,
                      const Comparison& comparison, IfExists if_exists);

/// One line per row: mean over the seeds, and its standard deviation where there are several.
[[nodiscard]] std::string print_comparison(const Comparison& comparison);

}  // namespace d2c::results
