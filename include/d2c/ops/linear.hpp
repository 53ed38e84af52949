#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "d2c/ops/aligned.hpp"
#include "d2c/ops/packed_matrix.hpp"
#include "d2c/ops/rows.hpp"

namespace d2c::ops {

/// y [T, d_out] = x [T, d_in] W^T.
///
/// The bits of a row of y depend on that row of x and on W alone: not on T, not on the number of
/// threads. Sums over d_in are made of chains of fused multiply-adds whose length depends on d_in
/// alone.
/// @pre x.width == W.d_in, y.width == W.d_out, x.n == y.n
void linear(ThreadTeam& threads, ConstRows x, const PackedMatrix& w, Rows y);
/// y += x W^T.
void add_linear(ThreadTeam& threads, ConstRows x, const PackedMatrix& w, Rows y);

/// Bytes that linear() and attention keep per thread for blocks of x.
[[nodiscard]] std::size_t linear_scratch_bytes();

struct Backward;
struct UpdateGradient;

/// The LoRA updates of linear layers that read the same x, for one adapter.
class LowRankUpdate {
 public:
  /// One layer's update of columns [column, column + d_out) of the joint output.
  struct Part {
    ConstRows a;           ///< A [r, d_in]
    ConstRows b;           ///< B [d_out, r]
    double scaling = 1.0;  ///< alpha / r, or alpha / sqrt(r)
    Index column = 0;
  };

  LowRankUpdate() = default;
  /// @pre all A have the same d_in
  LowRankUpdate(ThreadTeam& threads, std::span<const Part> parts);

  [[nodiscard]] bool empty() const { return parts_.empty(); }
  /// Sum of the ranks.
  [[nodiscard]] Index rank() const { return a_.d_out(); }

  /// u [T, rank] = x A^T, the A stacked. @pre u.width == rank()
  void project(ThreadTeam& threads, ConstRows x, Rows u) const;
  /// u_t = A[:, ids_t]: the projection of one-hot x. @pre u.width == rank()
  void project_one_hot(std::span<const std::int32_t> ids, Rows u) const;
  /// y[:, columns of the part] += scaling u_part B^T, for each part.
  void expand(ThreadTeam& threads, ConstRows u, Rows y) const;
  /// As expand, for columns [first, first + y.width) of the joint output only.
  /// @pre first is a multiple of 16, and the update has one part, with column 0
  void expand_columns(ThreadTeam& threads, ConstRows u, Index first, Rows y) const;

  /// Zeros of the shapes of the factors.
  [[nodiscard]] UpdateGradient zero_gradient() const;
  /// du [T, rank] = dy scaling B, for each part from its columns of dy; and the derivative with
  /// respect to B is added to `sum`.
  /// @param u  of the forward pass
  void expand_backward(ThreadTeam& threads, Backward& backward, ConstRows u, ConstRows dy, Rows du,
                       UpdateGradient& sum) const;
  /// The same for columns [first, first + dy.width), added to du; see expand_columns().
  void add_expand_columns_backward(ThreadTeam& threads, Backward& backward, ConstRows u,
                                   ConstRows dy, Index first, Rows du, UpdateGradient& sum) const;
  /// dx += du A; and the derivative with respect to A is added to `sum`.
  void add_project_backward(ThreadTeam& threads, Backward& backward, ConstRows x, ConstRows du,
                            Rows dx, UpdateGradient& sum) const;
  /// The derivative with respect to A for one-hot x.
  void add_one_hot_gradient(std::span<const std::int32_t> ids, ConstRows du,
                            UpdateGradient& sum) const;

 private:
  struct Packed {
    Index first_rank;
    Index column;
    PackedMatrix b;  ///< scaling B [d_out, r]
    double scaling;
  };
  static void pack_scaled(const Part& part, std::span<float> panels, float* scaled);

  AlignedFloats storage_;
  PackedMatrix a_;  ///< [rank, d_in]
  std::vector<Packed> parts_;
};

}  // namespace d2c::ops
