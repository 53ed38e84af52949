#include "algebra/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

namespace d2c::merge {
namespace {

int sign(float x) { return (x > 0) - (x < 0); }

}  // namespace

Pruner Pruner::by_magnitude(std::vector<float> magnitudes, double density) {
  if (density >= 1) return {};
  for (float& x : magnitudes) x = std::abs(x);
  Pruner pruner;
  pruner.kind_ = Pruning::magnitude;
  const auto kept = static_cast<std::size_t>(density * static_cast<double>(magnitudes.size()));
  if (kept == 0) {
    pruner.threshold_ = std::numeric_limits<float>::infinity();
    return pruner;
  }
  const auto last = magnitudes.begin() + static_cast<std::ptrdiff_t>(kept) - 1;
  std::nth_element(magnitudes.begin(), last, magnitudes.end(), std::greater<>());
  pruner.threshold_ = *last;
  pruner.equal_left_ =
      static_cast<std::size_t>(std::count(magnitudes.begin(), last + 1, pruner.threshold_));
  return pruner;
}

Pruner Pruner::at_random(CounterRng rng, double density) {
  if (density >= 1) return {};
  Pruner pruner;
  pruner.kind_ = Pruning::random;
  pruner.rng_ = rng;
  pruner.density_ = density;
  return pruner;
}

void Pruner::prune(std::span<float> block) {
  if (kind_ == Pruning::magnitude) {
    for (float& x : block) {
      const float magnitude = std::abs(x);
      if (magnitude > threshold_) continue;
      if (magnitude == threshold_ && equal_left_ > 0) {
        --equal_left_;
      } else {
        x = 0;
      }
    }
  } else if (kind_ == Pruning::random) {
    for (float& x : block) {
      x = rng_.uniform() < density_ ? static_cast<float>(x / density_) : 0.0F;
    }
  }
}

CounterRng random_stream(const Options& options, std::string_view tensor, const Member& member) {
  // An odd multiplier spreads consecutive adapter numbers over all bits of the stream.
  return {options.seed, hash_name(tensor) ^ (member.adapter * 0x9e3779b97f4a7c15)};
}

Combiner::Combiner(Combination combination, MajoritySign majority_sign, std::size_t n)
    : combination_(combination), majority_sign_(majority_sign) {
  if (combination == Combination::sum) {
    sum_.resize(n);
    return;
  }
  vote_.resize(n);
  for (Side* side : {&positive_, &negative_}) {
    side->sum.resize(n);
    side->n.resize(n);
  }
}

void Combiner::add(std::span<const float> task, double weight) {
  if (combination_ == Combination::sum) {
    D2C_EXPECTS(task.size() == sum_.size());
    for (std::size_t entry = 0; entry < task.size(); ++entry) sum_[entry] += weight * task[entry];
    return;
  }
  D2C_EXPECTS(task.size() == vote_.size());
  for (std::size_t entry = 0; entry < task.size(); ++entry) {
    const float x = task[entry];
    vote_[entry] += majority_sign_ == MajoritySign::total ? x : static_cast<float>(sign(x));
    if (x == 0) continue;
    Side& side = x > 0 ? positive_ : negative_;
    side.sum[entry] += weight * x;
    ++side.n[entry];
  }
}

void Combiner::finish(std::span<float> result) const {
  for (std::size_t entry = 0; entry < result.size(); ++entry) {
    if (combination_ == Combination::sum) {
      result[entry] = static_cast<float>(sum_[entry]);
      continue;
    }
    const Side& elected = vote_[entry] >= 0 ? positive_ : negative_;
    result[entry] =
        static_cast<float>(elected.sum[entry] / std::max<std::uint32_t>(elected.n[entry], 1));
  }
}

void combine(std::span<const std::span<const float>> tasks, std::span<const double> weights,
             Combination combination, MajoritySign majority_sign, std::span<float> result) {
  D2C_EXPECTS(tasks.size() == weights.size());
  Combiner entries(combination, majority_sign, result.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) entries.add(tasks[i], weights[i]);
  entries.finish(result);
}

EigenRowMajor ties(std::vector<EigenRowMajor> tasks, std::span<const double> weights,
                   const Options& options) {
  std::vector<std::span<const float>> pruned;
  for (EigenRowMajor& task : tasks) {
    std::vector<float> values(entries(task).begin(), entries(task).end());
    Pruner::by_magnitude(std::move(values), options.density).prune(entries(task));
    pruned.push_back(entries(task));
  }
  EigenRowMajor merged(tasks.front().rows(), tasks.front().cols());
  combine(pruned, weights, Combination::disjoint, options.majority_sign, entries(merged));
  return merged;
}

}  // namespace d2c::merge
