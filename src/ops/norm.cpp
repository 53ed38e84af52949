#include "d2c/ops/norm.hpp"

#include "row_statistics.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index work_per_element = 16;

}  // namespace

void rms_norm(ThreadTeam& threads, ConstRows x, std::span<const float> weight, float eps, Rows y) {
  D2C_EXPECTS(x.n == y.n && x.width == y.width && std::ssize(weight) == x.width);
  const float* w = weight.data();
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    const float* from = x.row(t);
    float* to = y.row(t);
    const float factor = inverse_rms(from, x.width, eps);
#pragma omp simd
    for (Index i = 0; i < x.width; ++i) to[i] = w[i] * (from[i] * factor);
  });
}

void layer_norm(ThreadTeam& threads, ConstRows x, std::span<const float> weight,
                std::span<const float> bias, float eps, Rows y) {
  D2C_EXPECTS(x.n == y.n && x.width == y.width && std::ssize(weight) == x.width);
  D2C_EXPECTS(bias.empty() || bias.size() == weight.size());
  const float* w = weight.data();
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    const float* from = x.row(t);
    float* to = y.row(t);
    const Spread spread = spread_of(from, x.width, eps);
    const float centre = spread.centre;
    const float factor = spread.inverse_deviation;
#pragma omp simd
    for (Index i = 0; i < x.width; ++i) to[i] = w[i] * ((from[i] - centre) * factor);
  });
  if (!bias.empty()) add_bias(threads, bias, y);
}

void add_bias(ThreadTeam& threads, std::span<const float> bias, Rows y) {
  D2C_EXPECTS(std::ssize(bias) == y.width);
  const float* b = bias.data();
  parallel_for(threads, y.n, y.n * y.width * work_per_element, [&](Index t) {
    float* to = y.row(t);
#pragma omp simd
    for (Index i = 0; i < y.width; ++i) to[i] += b[i];
  });
}

void scale(ThreadTeam& threads, float factor, Rows x) {
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    float* row = x.row(t);
#pragma omp simd
    for (Index i = 0; i < x.width; ++i) row[i] *= factor;
  });
}

void add_scaled(ThreadTeam& threads, float factor, ConstRows x, Rows y) {
  D2C_EXPECTS(x.n == y.n && x.width == y.width);
  parallel_for(threads, x.n, x.n * x.width * work_per_element, [&](Index t) {
    const float* from = x.row(t);
    float* to = y.row(t);
#pragma omp simd
    for (Index i = 0; i < x.width; ++i) to[i] += factor * from[i];
  });
}

}  // namespace d2c::ops
