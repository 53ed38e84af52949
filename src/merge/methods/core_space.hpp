#pragma once

#include <vector>

#include <Eigen/Core>

#include "members.hpp"

namespace d2c::merge {

/// The updates of all members in the singular bases of their stacked factors:
/// s_i B_i A_i = u cores[i] v^T, exactly.
/// Source: Panariello et al., "Accurate and Efficient Low-Rank Model Merging in Core Space",
/// arXiv 2509.17786.
struct CoreSpace {
  Eigen::MatrixXd u;                   ///< [d_out, n_b], orthonormal
  Eigen::MatrixXd v;                   ///< [d_in, n_a], orthonormal
  std::vector<Eigen::MatrixXd> cores;  ///< [n_b, n_a] each
};

[[nodiscard]] CoreSpace core_space(const Unit& unit);

}  // namespace d2c::merge
