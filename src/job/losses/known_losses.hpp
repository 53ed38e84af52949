#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "d2c/cluster/oracle.hpp"
#include "d2c/results/checkpoint.hpp"

namespace d2c::job {

/// Every loss that a job has measured, by the content of what it was measured under. Nothing in it
/// is measured again, so that a job that goes on from a checkpoint repeats all decisions of its
/// earlier part without measuring.
class KnownLosses {
 public:
  KnownLosses() = default;
  explicit KnownLosses(results::LossTable table) : table_(std::move(table)) {}

  /// Losses of a task, one per fold; empty = not known. Valid until losses are added.
  [[nodiscard]] std::span<const double> find(const results::LossKey& key, TaskId task) const;
  /// Those of the queries that are not known, each once: `set` is the first of equal keys.
  /// @param queries  `set` is an index into `keys`
  [[nodiscard]] std::vector<cluster::Query> missing(std::span<const results::LossKey> keys,
                                                    std::span<const cluster::Query> queries) const;
  /// Losses of all queries, NaN where they are not known. [queries.size(), n_folds]
  [[nodiscard]] std::vector<double> read(std::span<const results::LossKey> keys,
                                         std::span<const cluster::Query> queries,
                                         std::size_t n_folds) const;
  /// @param losses  one per fold, of what is not known
  void add(const results::LossKey& key, TaskId task, std::span<const double> losses);

  [[nodiscard]] const results::LossTable& table() const { return table_; }

 private:
  results::LossTable table_;
};

}  // namespace d2c::job
