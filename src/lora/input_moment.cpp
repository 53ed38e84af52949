#include "d2c/lora/input_moment.hpp"

#include <algorithm>
#include <cmath>

#include <Eigen/Core>

#include "d2c/core/error.hpp"

namespace d2c::lora {
namespace {

std::size_t packed_place(Index i, Index j) { return static_cast<std::size_t>(i * (i + 1) / 2 + j); }

/// Sum of the diagonal of the moment that the values make up.
double trace(const InputMoment& moment) {
  double sum = 0;
  switch (moment.form) {
    case MomentForm::rows:
      for (const float x : moment.values) sum += static_cast<double>(x) * static_cast<double>(x);
      break;
    case MomentForm::packed:
      for (Index i = 0; i < moment.d_in; ++i)
        sum += static_cast<double>(moment.values[packed_place(i, i)]);
      break;
    case MomentForm::diagonal:
      for (const float count : moment.values) sum += static_cast<double>(count);
      break;
  }
  return sum;
}

void scale(InputMoment& moment, double factor) {
  if (moment.form == MomentForm::rows) factor = std::sqrt(factor);
  for (float& value : moment.values) value = static_cast<float>(factor * value);
}

}  // namespace

MomentForm moment_form(Index n, Index d_in) {
  return 2 * n < d_in + 1 ? MomentForm::rows : MomentForm::packed;
}

std::uint64_t moment_size(MomentForm form, Index n, Index d_in) {
  switch (form) {
    case MomentForm::rows:
      return static_cast<std::uint64_t>(n * d_in);
    case MomentForm::packed:
      return static_cast<std::uint64_t>(d_in * (d_in + 1) / 2);
    case MomentForm::diagonal:
      break;
  }
  return static_cast<std::uint64_t>(d_in);
}

InputMoment mean_of(std::span<const InputMoment> moments) {
  InputMoment mean = moments.front();
  for (const InputMoment& other : moments.subspan(1)) {
    D2C_EXPECTS(other.form == mean.form && other.d_in == mean.d_in);
    if (mean.form == MomentForm::rows) {
      mean.values.insert(mean.values.end(), other.values.begin(), other.values.end());
    } else {
      std::ranges::transform(mean.values, other.values, mean.values.begin(), std::plus<float>());
    }
  }
  if (moments.size() > 1) scale(mean, 1.0 / static_cast<double>(moments.size()));
  return mean;
}

void InputMomentSum::add(ops::ConstRows x, std::span<const float> weights) {
  D2C_EXPECTS(x.width == d_in_ && std::ssize(weights) == x.n && form_ != MomentForm::diagonal);
  if (form_ == MomentForm::packed) return add_products(x, weights);
  values_.reserve(values_.size() + static_cast<std::size_t>(x.n * x.width));
  for (Index i = 0; i < x.n; ++i) {
    const float factor = std::sqrt(weights[static_cast<std::size_t>(i)]);
    for (Index j = 0; j < x.width; ++j) values_.push_back(factor * x.row(i)[j]);
  }
}

void InputMomentSum::add_products(ops::ConstRows x, std::span<const float> weights) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  values_.resize(moment_size(form_, x.n, d_in_));
  RowMajor rows(x.n, d_in_);
  for (Index i = 0; i < x.n; ++i) {
    const double factor = std::sqrt(static_cast<double>(weights[static_cast<std::size_t>(i)]));
    for (Index j = 0; j < d_in_; ++j) rows(i, j) = factor * static_cast<double>(x.row(i)[j]);
  }
  // Blocks of rows of the triangle: the product is never held whole.
  constexpr Index block = 256;
  for (Index first = 0; first < d_in_; first += block) {
    const Index n = std::min(block, d_in_ - first);
    const RowMajor product = rows.middleCols(first, n).transpose() * rows.leftCols(first + n);
    for (Index i = first; i < first + n; ++i)
      for (Index j = 0; j <= i; ++j)
        values_[packed_place(i, j)] += static_cast<float>(product(i - first, j));
  }
}

void InputMomentSum::add_one_hot(std::span<const std::int32_t> ids,
                                 std::span<const float> weights) {
  D2C_EXPECTS(ids.size() == weights.size() && form_ == MomentForm::diagonal);
  values_.resize(static_cast<std::size_t>(d_in_));
  for (std::size_t i = 0; i < ids.size(); ++i)
    values_.at(static_cast<std::size_t>(ids[i])) += weights[i];
}

InputMoment InputMomentSum::finish() {
  InputMoment moment{form_, d_in_, std::move(values_)};
  if (form_ != MomentForm::rows) moment.values.resize(moment_size(form_, 0, d_in_));
  const double sum = trace(moment);
  if (sum > 0) scale(moment, static_cast<double>(d_in_) / sum);
  return moment;
}

}  // namespace d2c::lora
