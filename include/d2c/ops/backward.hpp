#pragma once

#include <span>
#include <vector>

#include "d2c/ops/activation.hpp"
#include "d2c/ops/aligned.hpp"
#include "d2c/ops/attention.hpp"
#include "d2c/ops/packed_matrix.hpp"
#include "d2c/ops/rows.hpp"
#include "d2c/ops/segment.hpp"
#include "d2c/ops/thread_team.hpp"
#include "d2c/tensor/matrix.hpp"

/// Derivatives of the loss with respect to the inputs of the other kernels. A name in d stands for
/// the derivative with respect to the value of that name: dy is what the layer above hands down,
/// dx what is handed on. The bits of a row depend on its own sequence alone, as in the forward
/// pass.
namespace d2c::ops {

/// dx [T, d_in] = dy [T, d_out] W: the product with the untransposed weights, from the same packed
/// form that linear() reads. Blocks of W are transposed in the cache, once for all rows.
class LinearBackward {
 public:
  /// @pre dy.width == W.d_out, dx.width == W.d_in, dy.n == dx.n
  void operator()(ThreadTeam& threads, ConstRows dy, const PackedMatrix& w, Rows dx) {
    multiply(threads, dy, w, dx, false);
  }
  /// dx += dy W
  void add(ThreadTeam& threads, ConstRows dy, const PackedMatrix& w, Rows dx) {
    multiply(threads, dy, w, dx, true);
  }

  [[nodiscard]] static std::size_t workspace_bytes(Index n_threads);
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  void multiply(ThreadTeam& threads, ConstRows dy, const PackedMatrix& w, Rows dx, bool add);

  std::vector<AlignedFloats> blocks_;  ///< per thread: a block of W^T in panels
};

/// c [r, width] += scale g^T x with g [T, r], x [T, width]: the derivatives of both LoRA factors,
///   dA = s (dy B)^T x   and   dB^T = s (x A^T)^T dy.
/// The terms of a sum are added in the order of the rows.
class FactorGradient {
 public:
  void operator()(ConstRows g, ConstRows x, float scale, Rows c);

  /// @param n  rows; @param rank  r, at most
  [[nodiscard]] static std::size_t workspace_bytes(Index n, Index rank) {
    return static_cast<std::size_t>(n * (rank + columns_at_a_time)) * sizeof(float);
  }
  [[nodiscard]] std::size_t held_bytes() const {
    return ops::held_bytes(left_) + ops::held_bytes(panels_);
  }

 private:
  static constexpr Index columns_at_a_time = 64;

  AlignedFloats left_;    ///< [r, T]
  AlignedFloats panels_;  ///< a block of x in panels
};

/// The two products of a backward pass, with their workspaces.
struct Backward {
  LinearBackward product;
  FactorGradient gradient;

  [[nodiscard]] static std::size_t workspace_bytes(Index n, Index rank, Index n_threads) {
    return LinearBackward::workspace_bytes(n_threads) + FactorGradient::workspace_bytes(n, rank);
  }
  [[nodiscard]] std::size_t held_bytes() const {
    return product.held_bytes() + gradient.held_bytes();
  }
};

/// The derivatives with respect to the factors of a LowRankUpdate.
struct UpdateGradient {
  Matrix a;               ///< [rank, d_in]
  std::vector<Matrix> b;  ///< of each part B^T [r, d_out]
};

/// dx += derivative of rms_norm(x) with its weight; see rms_norm().
void add_rms_norm_backward(ThreadTeam& threads, ConstRows x, std::span<const float> weight,
                           float eps, ConstRows dy, Rows dx);
/// dx += derivative of layer_norm(x); see layer_norm().
void add_layer_norm_backward(ThreadTeam& threads, ConstRows x, std::span<const float> weight,
                             float eps, ConstRows dy, Rows dx);

/// From dy for y = act(gate) * up: gate = dy * up * act'(gate), up = dy * act(gate), in place.
void gate_backward_in_place(ThreadTeam& threads, Activation activation, ConstRows dy, Rows gate,
                            Rows up);

/// The derivative of Attention. Keys and values of a shared prefix get the sum over all sequences
/// that see them, in the order of the rows.
class AttentionBackward {
 public:
  /// @param q, k, v  as in the forward pass
  /// @param queries  rows of q that were wanted, ascending
  /// @param dout     [queries.size(), n_heads * head_dim]
  /// @param dq, dk, dv  [T, as q, k, v], overwritten; dq is zero in rows that were not wanted
  void operator()(ThreadTeam& threads, const AttentionShape& shape,
                  std::span<const Segment> segments, ConstRows q, ConstRows k, ConstRows v,
                  std::span<const Index> queries, ConstRows dout, Rows dq, Rows dk, Rows dv);

  [[nodiscard]] static std::size_t workspace_bytes(Index longest, Index n_threads);
  [[nodiscard]] std::size_t held_bytes() const;

 private:
  struct Scratch {
    AlignedFloats floats;     ///< [3, longest]: probabilities, their derivatives, slopes of a cap
    std::vector<Index> rows;  ///< of the keys that a query sees, by position
  };
  std::vector<Scratch> scratch_;  ///< per thread
};

}  // namespace d2c::ops
