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
/// way. G[i, j] and G[j, i] agree to rounding. At most 512 products are summed in float32, all else
/// in double; the error is within 1e-5 |dW_i| |dW_j| for factors whose columns are not nearly
/// parallel.
/// Cost of an entry: r_i r_j (d_in + d_out) multiply-adds per module.
///
/// @return [rows.size(), cols.size()], row-major
/// @throws InputError if a module has different shapes in two adapters
[[nodiscard]] std::vector<double> gram(std::span<const FactorMap* const> rows,
                                       std::span<const FactorMap* const> cols);

/// Factors with the entries of smallest magnitude of A and of B set to zero.
/// @param density  share of the entries of each matrix that is kept, in (0, 1]; equal ones stay
/// together
[[nodiscard]] Factors trimmed(const Factors& factors, double density);
/// The same for every module of an adapter.
[[nodiscard]] FactorMap trimmed(const FactorMap& adapter, double density);

/// Inner products of the factors themselves, entry by entry: G[i, j] = sum over modules of
/// <A_i, A_j>_F + <B_i, B_j>_F, where the smaller rank counts. Scalings do not enter. Unlike
/// gram(), this depends on how an update is factorised: it serves comparisons with methods that
/// flatten adapters to vectors. Bits and blocks as for gram().
/// @return [rows.size(), cols.size()], row-major
/// @throws InputError if a module has different shapes in two adapters
[[nodiscard]] std::vector<double> factor_gram(std::span<const FactorMap* const> rows,
                                              std::span<const FactorMap* const> cols);

/// <dW_i, dW_j> / sqrt(|dW_i|^2 |dW_j|^2), within [-1, 1]; 0 if one of the updates is zero.
[[nodiscard]] double cosine(double inner, double squared_norm_i, double squared_norm_j);

}  // namespace d2c::lora
