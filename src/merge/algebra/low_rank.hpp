#pragma once

#include <Eigen/Core>

#include "members.hpp"

namespace d2c::merge {

/// Columns of all members side by side: sum_i u_i B_i A_i = b diag(strength) a^T.
struct Stack {
  Eigen::MatrixXd b;         ///< [d_out, R]
  Eigen::MatrixXd a;         ///< [d_in, R]
  Eigen::VectorXd strength;  ///< [R], u_i repeated r_i times
};

[[nodiscard]] Stack stack(const Unit& unit);
/// Writes a member to the columns from `column` on. @return the column behind them
Index put(const Member& member, Index column, Stack& stack);

/// Best rank-`rank` approximation (Frobenius and spectral norm) of b diag(strength) a^T as
/// B = U sqrt(S), A = sqrt(S) V^T with scaling 1; zero rows where its rank is lower.
/// @pre rank <= min(d_out, d_in)
[[nodiscard]] lora::Factors truncate(const Stack& stack, Index rank);

/// The same in another metric of the inputs, || (B A - M) L || with L L^T = S, where M = b
/// diag(strength) a^T.
/// @param gram_a  [R, R] a^T S a
/// @pre R <= min(d_out, d_in)
[[nodiscard]] lora::Factors truncate_in_metric(const Stack& stack, Eigen::MatrixXd gram_a,
                                               Index rank);

/// Factors of rank `rank` from B [d_out, k] and A^T [d_in, k], k <= rank, and zeros.
[[nodiscard]] lora::Factors padded(const Eigen::MatrixXd& b, const Eigen::MatrixXd& a_transposed,
                                   Index rank);

/// The same as truncate() for a dense matrix [d_out, d_in].
[[nodiscard]] lora::Factors truncate(const Matrix& dense, Index rank);

}  // namespace d2c::merge
