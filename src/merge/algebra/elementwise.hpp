#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "d2c/core/rng.hpp"
#include "d2c/tensor/eigen.hpp"

#include "members.hpp"
#include "methods/families.hpp"

/// PEFT's operators on a stack of equally shaped task tensors: prune each, then combine entry by
/// entry (peft/utils/merge_utils.py).
namespace d2c::merge {

/// In row-major order.
[[nodiscard]] inline std::span<float> entries(EigenRowMajor& m) {
  return {m.data(), static_cast<std::size_t>(m.size())};
}

/// Prunes one task tensor, given in one or several consecutive blocks in row-major order.
class Pruner {
 public:
  /// Keeps everything.
  Pruner() = default;
  /// Keeps the int(density n) entries of largest magnitude; of equal ones, the first.
  /// @param values  all n entries
  static Pruner by_magnitude(std::vector<float> values, double density);
  /// Keeps each entry with probability `density` and divides it by `density` (DARE).
  static Pruner at_random(CounterRng rng, double density);

  void prune(std::span<float> block);

 private:
  Pruning kind_ = Pruning::none;
  float threshold_ = 0;         ///< magnitude of the smallest entry kept
  std::size_t equal_left_ = 0;  ///< entries of exactly that magnitude still to be kept
  CounterRng rng_{0, 0};
  double density_ = 1;
};

/// Random numbers of one adapter's tensor: the same on any rank and in any order.
[[nodiscard]] CounterRng random_stream(const Options& options, std::string_view tensor,
                                       const Member& member);

/// Combines equally long task tensors that come one after another, entry by entry. Each sum runs
/// over the tasks in their order.
class Combiner {
 public:
  Combiner() = default;
  Combiner(Combination combination, MajoritySign majority_sign, std::size_t n);
  void add(std::span<const float> task, double weight);
  void finish(std::span<float> result) const;

 private:
  /// What the tasks add up to on one side of zero: which side counts is known at the end.
  struct Side {
    std::vector<double> sum;
    std::vector<std::uint32_t> n;
  };

  Combination combination_ = Combination::sum;
  MajoritySign majority_sign_ = MajoritySign::total;
  std::vector<double> sum_;   ///< Combination::sum
  std::vector<double> vote_;  ///< Combination::disjoint, as the sides
  Side positive_;
  Side negative_;
};

/// Combines equally long task tensors into `result`.
/// @param weights  one per task
void combine(std::span<const std::span<const float>> tasks, std::span<const double> weights,
             Combination combination, MajoritySign majority_sign, std::span<float> result);

/// TIES: prunes by magnitude and combines, for tensors that are in memory anyway.
[[nodiscard]] EigenRowMajor ties(std::vector<EigenRowMajor> tasks, std::span<const double> weights,
                                 const Options& options);

}  // namespace d2c::merge
