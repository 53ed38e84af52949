#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace d2c::comm {

/// Rank that owns each item, balanced by cost: items in descending cost go to the rank with the
/// least load so far (longest processing time first; at most 4/3 of the optimum). Ties go to the
/// lower item and the lower rank, so that every rank computes the same plan.
/// @param costs  one per item, >= 0
[[nodiscard]] std::vector<int> balance(std::span<const double> costs, int n_ranks);

/// Cuts a list into consecutive pieces of about equal cost: no piece costs more than the mean and
/// one item.
/// @param costs  one per item, >= 0; fewer than 2^32
/// @return       [n_ranks + 1] where each rank's piece begins
[[nodiscard]] std::vector<std::uint32_t> cut(std::span<const double> costs, int n_ranks);

/// Items owned by `rank`, ascending.
[[nodiscard]] std::vector<int> owned_by(std::span<const int> owners, int rank);

/// Largest load over mean load; 1 = perfectly balanced. 1 if all costs are zero.
[[nodiscard]] double imbalance(std::span<const double> costs, std::span<const int> owners,
                               int n_ranks);

}  // namespace d2c::comm
