#include "d2c/ops/cross_entropy.hpp"

#include <algorithm>
#include <cmath>

#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"
#include "vocabulary.hpp"

namespace d2c::ops {

double RunningSum::add(const float* logits, Index n) {
  const VectorLoops& loops = vector_kernels().loops;
  const float highest = std::max(maximum, loops.largest(logits, n));
  const float added = loops.sum_of_exponentials(logits, n, highest);
  double rescale = 0.0;
  if (sum > 0.0) {
    rescale = std::exp(static_cast<double>(maximum) - static_cast<double>(highest));
    sum *= rescale;
  }
  sum += static_cast<double>(added);
  maximum = highest;
  return rescale;
}

void CrossEntropy::operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                              const LowRankUpdate& update, std::span<const std::int32_t> labels,
                              std::span<double> nll, float cap) {
  D2C_EXPECTS(std::ssize(labels) == h.n && std::ssize(nll) == h.n && h.width == w.d_in());
  grow_to(projected_, static_cast<std::size_t>(h.n * update.rank()));
  const Rows u{projected_.data(), h.n, update.rank(), update.rank()};
  if (!update.empty()) update.project(threads, h, u);
  sums_.assign(labels.size(), {});
  for_each_logit_block(threads, h, w, update, cap, u, logits_, [&](Rows z, Index row, Index first) {
    constexpr Index work_per_element = 16;
    parallel_for(threads, z.n, z.n * z.width * work_per_element, [&](Index i) {
      Sum& sum = sums_[static_cast<std::size_t>(row + i)];
      sum.add(z.row(i), z.width);
      const Index label = labels[static_cast<std::size_t>(row + i)] - first;
      if (label >= 0 && label < z.width) sum.label_logit = static_cast<double>(z.row(i)[label]);
    });
  });
  std::ranges::transform(sums_, nll.begin(), [](const Sum& sum) {
    return std::log(sum.sum) + static_cast<double>(sum.maximum) - sum.label_logit;
  });
}

std::size_t CrossEntropy::workspace_bytes(Index n, Index rank) {
  const Index floats = logit_rows * logit_columns + n * rank;
  return static_cast<std::size_t>(floats) * sizeof(float) +
         2 * static_cast<std::size_t>(n) * sizeof(Sum);
}

std::size_t CrossEntropy::held_bytes() const {
  return ops::held_bytes(logits_) + ops::held_bytes(projected_) + ops::held_bytes(sums_);
}

}  // namespace d2c::ops
