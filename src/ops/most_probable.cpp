#include "d2c/ops/most_probable.hpp"

#include <algorithm>
#include <cmath>

#include "d2c/core/error.hpp"

#include "threads/parallel.hpp"
#include "vocabulary.hpp"

namespace d2c::ops {
namespace {

using Candidate = std::pair<float, std::int32_t>;

bool is_better(const Candidate& a, const Candidate& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

/// Adds the better of `n` logits to the `most` best ones so far.
void keep_best(const float* logits, Index n, Index first, Index most,
               std::vector<Candidate>& heap) {
  for (Index i = 0; i < n; ++i) {
    // Tokens come in ascending order: an equal logit is no better.
    const bool is_full = std::ssize(heap) == most;
    if (is_full && !(logits[i] > heap.front().first)) continue;
    if (is_full) {
      std::ranges::pop_heap(heap, is_better);
      heap.pop_back();
    }
    heap.emplace_back(logits[i], static_cast<std::int32_t>(first + i));
    std::ranges::push_heap(heap, is_better);
  }
}

}  // namespace

SoftTargets MostProbable::operator()(ThreadTeam& threads, ConstRows h, const PackedMatrix& w,
                                     const LowRankUpdate& update, Index most, float cap) {
  D2C_EXPECTS(h.width == w.d_in() && most > 0);
  const Index kept = std::min(most, w.d_out());
  grow_to(projected_, static_cast<std::size_t>(h.n * update.rank()));
  const Rows u{projected_.data(), h.n, update.rank(), update.rank()};
  if (!update.empty()) update.project(threads, h, u);
  best_.assign(static_cast<std::size_t>(h.n), {});
  for (Best& best : best_) best.heap.reserve(static_cast<std::size_t>(kept));
  for_each_logit_block(threads, h, w, update, cap, u, logits_, [&](Rows z, Index row, Index first) {
    constexpr Index work_per_element = 16;
    parallel_for(threads, z.n, z.n * z.width * work_per_element, [&](Index i) {
      Best& best = best_[static_cast<std::size_t>(row + i)];
      best.add(z.row(i), z.width);
      keep_best(z.row(i), z.width, first, kept, best.heap);
    });
  });
  SoftTargets targets;
  for (Best& best : best_) {
    std::ranges::sort(best.heap, {}, &Candidate::second);
    for (const auto& [logit, token] : best.heap) {
      const double p = std::exp(static_cast<double>(logit - best.maximum)) / best.sum;
      targets.tokens.push_back(token);
      targets.probabilities.push_back(static_cast<float>(p));
    }
    targets.begin.push_back(std::ssize(targets.tokens));
  }
  return targets;
}

std::size_t MostProbable::held_bytes() const {
  std::size_t bytes =
      ops::held_bytes(logits_) + ops::held_bytes(projected_) + ops::held_bytes(best_);
  for (const Best& best : best_) bytes += ops::held_bytes(best.heap);
  return bytes;
}

}  // namespace d2c::ops
