#include "d2c/ops/soft_cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backward/cap_slopes.hpp"
#include "panel/panel_kernel.hpp"
#include "threads/parallel.hpp"
#include "vocabulary.hpp"

namespace d2c::ops {
namespace {

constexpr Index work_per_element = 16;

}  // namespace

void SoftCrossEntropy::operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                                  const LowRankUpdate& update, const SoftTargets& targets,
                                  std::span<const float> weight, std::span<double> loss, Rows dh,
                                  UpdateGradient& sum, float cap) {
  D2C_EXPECTS(targets.size() == h.n && std::ssize(weight) == h.n && std::ssize(loss) == h.n);
  D2C_EXPECTS(h.width == w.d_in() && dh.n == h.n && dh.width == h.width);
  const Index rank = update.rank();
  grow_to(projected_, static_cast<std::size_t>(2 * h.n * rank));
  const Rows u{projected_.data(), h.n, rank, rank};
  const Rows du{projected_.data() + h.n * rank, h.n, rank, rank};
  if (!update.empty()) update.project(threads, h, u);

  sums_.assign(loss.size(), {});
  for (std::size_t i = 0; i < loss.size(); ++i) sums_[i].next = targets.begin[i];
  for_each_logit_block(threads, h, w, update, cap, u, logits_, [&](Rows z, Index row, Index first) {
    parallel_for(threads, z.n, z.n * z.width * work_per_element, [&](Index i) {
      Sums& sums = sums_[static_cast<std::size_t>(row + i)];
      sums.sum_listed *= sums.add(z.row(i), z.width);
      const std::int64_t end = targets.begin[static_cast<std::size_t>(row + i) + 1];
      for (; sums.next < end; ++sums.next) {
        const Index column = targets.tokens[static_cast<std::size_t>(sums.next)] - first;
        if (column >= z.width) break;
        const auto logit = static_cast<double>(z.row(i)[column]);
        const auto p =
            static_cast<double>(targets.probabilities[static_cast<std::size_t>(sums.next)]);
        sums.sum_listed += std::exp(logit - static_cast<double>(sums.maximum));
        sums.expected += p * logit;
        sums.listed += p;
      }
    });
  });
  measure(targets, loss);

  clear(dh);
  clear(du);
  if (cap > 0.0F) grow_to(slopes_, logits_.size());
  for_each_logit_block(threads, h, w, update, cap, u, logits_, [&](Rows z, Index row, Index first) {
    parallel_for(threads, z.n, z.n * z.width * work_per_element, [&](Index i) {
      float* slopes = slopes_.data() + (cap > 0.0F ? i * z.width : 0);
      if (cap > 0.0F) cap_slopes(z.row(i), z.width, cap, slopes);
      differentiate(row + i, z.row(i), first, z.width, targets,
                    weight[static_cast<std::size_t>(row + i)]);
      if (cap > 0.0F) multiply(slopes, z.width, z.row(i));
    });
    backward_.product.add(threads, z, w.rows(first, z.width), dh.rows(row, z.n));
    if (update.empty()) return;
    update.add_expand_columns_backward(threads, backward_, u.rows(row, z.n), z, first,
                                       du.rows(row, z.n), sum);
  });
  if (!update.empty()) update.add_project_backward(threads, backward_, h, du, dh, sum);
}

/// What the first pass learned.
void SoftCrossEntropy::measure(const SoftTargets& targets, std::span<double> loss) {
  for (std::size_t i = 0; i < loss.size(); ++i) {
    Sums& sums = sums_[i];
    const auto maximum = static_cast<double>(sums.maximum);
    const double log_sum = std::log(sums.sum) + maximum;
    loss[i] = sums.listed * log_sum - sums.expected;
    const double rest = 1.0 - sums.listed;
    if (rest > 0.0) {
      const double sum_of_rest =
          std::max(sums.sum - sums.sum_listed, sums.sum * std::numeric_limits<float>::epsilon());
      loss[i] += rest * (std::log(sums.sum) - std::log(sum_of_rest));
      sums.sum_listed = sums.sum - sum_of_rest;
    }
    sums.next = targets.begin[i];
  }
}

/// z becomes the derivative with respect to z.
void SoftCrossEntropy::differentiate(Index row, float* z, Index first, Index count,
                                     const SoftTargets& targets, float weight) {
  Sums& sums = sums_[static_cast<std::size_t>(row)];
  const double rest = std::max(1.0 - sums.listed, 0.0);
  const double of_rest = sums.sum - sums.sum_listed;
  const auto q_factor = static_cast<float>(1.0 / sums.sum);
  // Among the rest q - p_rest q / q_rest, and q / q_rest = exp(z - max) / (sum of the rest).
  const auto rest_factor =
      static_cast<float>(1.0 / sums.sum - (rest > 0.0 && of_rest > 0.0 ? rest / of_rest : 0.0));
  const std::int64_t end = targets.begin[static_cast<std::size_t>(row) + 1];
  (void)vector_kernels().loops.exponentials(z, count, sums.maximum);
  std::int64_t next = sums.next;
  Index column = 0;
  while (column < count) {
    const bool more = next < end && targets.tokens[static_cast<std::size_t>(next)] - first < count;
    const Index listed = more ? targets.tokens[static_cast<std::size_t>(next)] - first : count;
    const float factor = weight * rest_factor;
#pragma omp simd
    for (Index c = column; c < listed; ++c) z[c] *= factor;
    if (more) {
      z[listed] =
          weight * (z[listed] * q_factor - targets.probabilities[static_cast<std::size_t>(next)]);
      ++next;
    }
    column = listed + 1;
  }
  sums.next = next;
}

std::size_t SoftCrossEntropy::workspace_bytes(Index n, Index rank, Index n_threads) {
  const Index floats = 2 * logit_rows * logit_columns + 2 * n * rank;
  return static_cast<std::size_t>(floats) * sizeof(float) +
         static_cast<std::size_t>(n) * sizeof(Sums) + Backward::workspace_bytes(n, rank, n_threads);
}

std::size_t SoftCrossEntropy::held_bytes() const {
  return ops::held_bytes(logits_) + ops::held_bytes(slopes_) + ops::held_bytes(projected_) +
         ops::held_bytes(sums_) + backward_.held_bytes();
}

}  // namespace d2c::ops
