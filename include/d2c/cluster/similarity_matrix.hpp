#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "d2c/core/id_vector.hpp"

namespace d2c::cluster {

/// Similarities of tasks, a symmetric matrix [n, n] that is never stored: each task has an item
/// (its adapter), and the values are those of the items, [n_items, n_items], wherever they lie.
/// Copies share them.
class SimilarityMatrix {
 public:
  /// Each task its own item. @param values  [n, n], row by row
  // NOLINTNEXTLINE(google-explicit-constructor): a vector is such a matrix
  SimilarityMatrix(std::vector<double> values);

  /// @param values        row i begins at i * stride
  /// @param item_of_task  below the number of rows
  /// @param memory        is kept as long as anybody looks at the values
  SimilarityMatrix(std::span<const double> values, std::size_t stride,
                   IdVector<TaskId, std::size_t> item_of_task, std::shared_ptr<const void> memory);

  [[nodiscard]] int n() const { return items_->n(); }
  [[nodiscard]] IdRange<TaskId> tasks() const { return items_->ids(); }
  [[nodiscard]] double operator()(TaskId a, TaskId b) const {
    return values_[(*items_)[a] * stride_ + (*items_)[b]];
  }
  /// The similarity of some pair that is not a finite number; 0 if all are.
  [[nodiscard]] double any_not_finite() const;

 private:
  const double* values_ = nullptr;
  std::size_t stride_ = 0;
  std::shared_ptr<const IdVector<TaskId, std::size_t>> items_;
  std::shared_ptr<const void> memory_;
};

}  // namespace d2c::cluster
