#include "d2c/ops/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "d2c/ops/exp.hpp"

#include "lanes.hpp"
#include "parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index row_block = 192;
constexpr Index vocabulary_block = 2048;  // a multiple of 16

/// log sum exp of what was seen so far is log(sum) + maximum.
struct RunningSum {
  float maximum = -std::numeric_limits<float>::infinity();
  double sum = 0.0;
  double label_logit = 0.0;

  void add(const float* logits, Index n) {
    const float highest = std::max(maximum, largest(logits, n));
    const float added = sum_in_lanes(n, [&](Index v) { return fast_exp(logits[v] - highest); });
    if (sum > 0.0) sum *= std::exp(static_cast<double>(maximum) - static_cast<double>(highest));
    sum += static_cast<double>(added);
    maximum = highest;
  }
  [[nodiscard]] double nll() const {
    return std::log(sum) + static_cast<double>(maximum) - label_logit;
  }
};

}  // namespace

void cross_entropy(ConstRows h, const PackedMatrix& w, const LowRankUpdate& update,
                   std::span<const std::int32_t> labels, std::span<double> nll) {
  D2C_EXPECTS(std::ssize(labels) == h.n && std::ssize(nll) == h.n && h.width == w.d_in());
  const Index rows = std::min(row_block, h.n);
  const Index columns = std::min(vocabulary_block, w.d_out());
  AlignedFloats logits(static_cast<std::size_t>(rows * columns));
  AlignedFloats projected(static_cast<std::size_t>(rows * update.rank()));
  std::vector<RunningSum> sums;

  for (Index row = 0; row < h.n; row += row_block) {
    const ConstRows x = h.rows(row, std::min(row_block, h.n - row));
    const Rows u{projected.data(), x.n, update.rank(), update.rank()};
    if (!update.empty()) update.project(x, u);
    sums.assign(static_cast<std::size_t>(x.n), {});
    for (Index first = 0; first < w.d_out(); first += vocabulary_block) {
      const Index count = std::min(vocabulary_block, w.d_out() - first);
      const Rows z{logits.data(), x.n, count, count};
      linear(x, w.rows(first, count), z);
      if (!update.empty()) update.expand_columns(u, first, z);
      constexpr Index work_per_element = 16;
      parallel_for(x.n, x.n * count * work_per_element, [&](Index i) {
        RunningSum& sum = sums[static_cast<std::size_t>(i)];
        sum.add(z.row(i), count);
        const Index label = labels[static_cast<std::size_t>(row + i)] - first;
        if (label >= 0 && label < count) {
          sum.label_logit = static_cast<double>(z.row(i)[label]);
        }
      });
    }
    std::transform(sums.begin(), sums.end(), nll.begin() + row,
                   [](const RunningSum& sum) { return sum.nll(); });
  }
}

}  // namespace d2c::ops
