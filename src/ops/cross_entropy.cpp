#include "d2c/ops/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"

namespace d2c::ops {
namespace {

constexpr Index row_block = 264;
constexpr Index vocabulary_block = 1024;  // a multiple of 16

}  // namespace

void CrossEntropy::RunningSum::add(const float* logits, Index n) {
  const VectorLoops& loops = vector_kernels().loops;
  const float highest = std::max(maximum, loops.largest(logits, n));
  const float added = loops.sum_of_exponentials(logits, n, highest);
  if (sum > 0.0) sum *= std::exp(static_cast<double>(maximum) - static_cast<double>(highest));
  sum += static_cast<double>(added);
  maximum = highest;
}

void CrossEntropy::operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                              const LowRankUpdate& update, std::span<const std::int32_t> labels,
                              std::span<double> nll) {
  D2C_EXPECTS(std::ssize(labels) == h.n && std::ssize(nll) == h.n && h.width == w.d_in());
  const Index most_rows = std::min(row_block, h.n);
  const Index most_columns = std::min(vocabulary_block, w.d_out());
  grow_to(logits_, static_cast<std::size_t>(most_rows * most_columns));
  grow_to(projected_, static_cast<std::size_t>(h.n * update.rank()));
  const Rows u{projected_.data(), h.n, update.rank(), update.rank()};
  if (!update.empty()) update.project(threads, h, u);
  sums_.assign(labels.size(), {-std::numeric_limits<float>::infinity(), 0.0, 0.0});

  // Vocabulary outside: W, which is larger than any cache, is read once.
  for (Index first = 0; first < w.d_out(); first += vocabulary_block) {
    const Index count = std::min(vocabulary_block, w.d_out() - first);
    for (Index row = 0; row < h.n; row += row_block) {
      const Index n = std::min(row_block, h.n - row);
      const Rows z{logits_.data(), n, count, count};
      linear(threads, h.rows(row, n), w.rows(first, count), z);
      if (!update.empty()) update.expand_columns(threads, u.rows(row, n), first, z);
      constexpr Index work_per_element = 16;
      parallel_for(threads, n, n * count * work_per_element, [&](Index i) {
        RunningSum& sum = sums_[static_cast<std::size_t>(row + i)];
        sum.add(z.row(i), count);
        const Index label = labels[static_cast<std::size_t>(row + i)] - first;
        if (label >= 0 && label < count) {
          sum.label_logit = static_cast<double>(z.row(i)[label]);
        }
      });
    }
  }
  std::ranges::transform(sums_, nll.begin(), [](const RunningSum& sum) {
    return std::log(sum.sum) + static_cast<double>(sum.maximum) - sum.label_logit;
  });
}

std::size_t CrossEntropy::workspace_bytes(Index n, Index rank) {
  const Index floats = row_block * vocabulary_block + n * rank;
  return static_cast<std::size_t>(floats) * sizeof(float) +
         2 * static_cast<std::size_t>(n) * sizeof(RunningSum);
}

std::size_t CrossEntropy::held_bytes() const {
  return ops::held_bytes(logits_) + ops::held_bytes(projected_) + ops::held_bytes(sums_);
}

}  // namespace d2c::ops
