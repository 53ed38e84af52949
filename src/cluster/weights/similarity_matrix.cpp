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
  std::vector<int> items(stride_);
  std::iota(items.begin(), items.end(), 0);
  items_ = std::make_shared<const std::vector<int>>(std::move(items));
  auto memory = std::make_shared<const std::vector<double>>(std::move(values));
  values_ = memory->data();
  memory_ = std::move(memory);
}

SimilarityMatrix::SimilarityMatrix(std::span<const double> values, std::size_t stride,
                                   std::vector<int> item_of_task,
                                   std::shared_ptr<const void> memory)
    : values_(values.data()),
      stride_(stride),
      items_(std::make_shared<const std::vector<int>>(std::move(item_of_task))),
      memory_(std::move(memory)) {
  for (const int item : *items_) {
    const auto i = static_cast<std::size_t>(item);
    D2C_EXPECTS(item >= 0 && i < stride && (i + 1) * stride <= values.size());
  }
}

double SimilarityMatrix::any_not_finite() const {
  std::vector<int> items = *items_;
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  for (const int a : items)
    for (const int b : items) {
      const double value =
          values_[static_cast<std::size_t>(a) * stride_ + static_cast<std::size_t>(b)];
      if (!std::isfinite(value)) return value;
    }
  return 0;
}

}  // namespace d2c::cluster
