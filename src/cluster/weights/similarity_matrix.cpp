#include "d2c/cluster/similarity_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "d2c/core/error.hpp"

namespace d2c::cluster {

SimilarityMatrix::SimilarityMatrix(std::vector<double> values) {
  stride_ = static_cast<std::size_t>(std::llround(std::sqrt(static_cast<double>(values.size()))));
  D2C_EXPECTS(stride_ * stride_ == values.size());
  std::vector<std::size_t> items(stride_);
  std::iota(items.begin(), items.end(), std::size_t{0});
  items_ = std::make_shared<const IdVector<TaskId, std::size_t>>(std::move(items));
  auto memory = std::make_shared<const std::vector<double>>(std::move(values));
  values_ = memory->data();
  memory_ = std::move(memory);
}

SimilarityMatrix::SimilarityMatrix(std::span<const double> values, std::size_t stride,
                                   IdVector<TaskId, std::size_t> item_of_task,
                                   std::shared_ptr<const void> memory)
    : values_(values.data()),
      stride_(stride),
      items_(std::make_shared<const IdVector<TaskId, std::size_t>>(std::move(item_of_task))),
      memory_(std::move(memory)) {
  D2C_EXPECTS(std::ranges::all_of(*items_, [&](std::size_t item) {
    return item < stride && (item + 1) * stride <= values.size();
  }));
}

double SimilarityMatrix::any_not_finite() const {
  std::vector<std::size_t> items = items_->values();
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  for (const std::size_t a : items)
    for (const std::size_t b : items)
      if (!std::isfinite(values_[a * stride_ + b])) return values_[a * stride_ + b];
  return 0;
}

}  // namespace d2c::cluster
