#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "d2c/ops/rows.hpp"
#include "d2c/tensor/matrix.hpp"

namespace d2c::lora {

/// How the second moment of inputs is kept.
enum class MomentForm {
  rows,      ///< the inputs themselves
  packed,    ///< the lower triangle of the sum of their products
  diagonal,  ///< of one-hot inputs: how often each occurs
};
/// The smaller of rows and packed.
/// @param n  inputs
[[nodiscard]] MomentForm moment_form(Index n, Index d_in);
/// float values of a moment of `n` inputs.
[[nodiscard]] std::uint64_t moment_size(MomentForm form, Index n, Index d_in);

/// The second moment M [d_in, d_in] of what a module reads: the mean of x x^T over its inputs x,
/// scaled so that the mean of its diagonal is 1 (all zero where the inputs are).
struct InputMoment {
  MomentForm form = MomentForm::rows;
  Index d_in = 0;
  /// rows: [n, d_in], M = sum of x x^T. packed: M(i, j) at i (i + 1) / 2 + j for j <= i. diagonal:
  /// [d_in].
  std::vector<float> values;

  /// Inputs that are kept. @pre form is rows
  [[nodiscard]] Index n() const { return d_in == 0 ? 0 : std::ssize(values) / d_in; }
};

/// The mean of moments of one form and d_in; rows of all stand below each other.
/// @pre not empty
[[nodiscard]] InputMoment mean_of(std::span<const InputMoment> moments);

/// Inputs that come batch after batch. The bits of the moment depend on the batches and their order
/// alone.
class InputMomentSum {
 public:
  InputMomentSum(MomentForm form, Index d_in) : form_(form), d_in_(d_in) {}

  /// @param x        [n, d_in]
  /// @param weights  [n] not negative, how often each input counts
  void add(ops::ConstRows x, std::span<const float> weights);
  /// @param ids  [n] where the ones stand
  void add_one_hot(std::span<const std::int32_t> ids, std::span<const float> weights);

  /// Call once.
  [[nodiscard]] InputMoment finish();

  [[nodiscard]] MomentForm form() const { return form_; }
  [[nodiscard]] Index d_in() const { return d_in_; }

 private:
  void add_products(ops::ConstRows x, std::span<const float> weights);

  MomentForm form_;
  Index d_in_;
  std::vector<float> values_;
};

}  // namespace d2c::lora
