#pragma once

#include <span>
#include <vector>

#include "d2c/lora/factors.hpp"

namespace d2c::lora {

/// Inner products of whole updates: G[i, j] = sum over modules of <dW_i, dW_j>_F, where
/// <dW_i, dW_j>_F = s_i s_j trace((A_j A_i^T)(B_i^T B_j)). A module that one of the two lacks adds
/// zero. No [d_out, d_in] product is formed.
///
/// An entry depends on its own pair alone, bit for bit: the matrix may be cut into blocks in any
/// way. G[i, j] and G[j, i] agree to rounding (double accumulation).
/// Cost of an entry: r_i r_j (d_in + d_out) multiply-adds per module.
///
/// @return [rows.size(), cols.size()], row-major
/// @throws InputError if a module has different shapes in two adapters
[[nodiscard]] std::vector<double> gram(std::span<const FactorMap* const> rows,
                                       std::span<const FactorMap* const> cols);

/// <dW_i, dW_j> / sqrt(|dW_i|^2 |dW_j|^2), within [-1, 1]; 0 if one of the updates is zero.
[[nodiscard]] double cosine(double inner, double squared_norm_i, double squared_norm_j);

}  // namespace d2c::lora
