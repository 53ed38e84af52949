#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "d2c/driver/adapter_store.hpp"

namespace d2c::driver {

/// Cosine of the weight updates of every pair of tasks' adapters. Batches of adapters visit every
/// node, whose ranks compare them with their own; each pair is computed once, by one rank.
/// Collective.
/// @param batch_bytes     cap on the factors that visit at a time; at least one adapter does
/// @param ranks_per_node  see comm::Communicator::nodes
/// @return                [n_tasks, n_tasks], symmetric, the same on every rank
[[nodiscard]] std::vector<double> task_similarity(comm::Communicator& comm,
                                                  const AdapterStore& adapters,
                                                  std::span<const int> adapter_of_task,
                                                  std::uint64_t batch_bytes, int ranks_per_node);

/// Inner products of the factors of every pair of tasks' adapters, of which the largest fifth of
/// the entries of each matrix is kept; see lora::trimmed and lora::factor_gram. Collective.
/// @return  [n_tasks, n_tasks], symmetric, the same on every rank
[[nodiscard]] std::vector<double> trimmed_task_gram(comm::Communicator& comm,
                                                    const AdapterStore& adapters,
                                                    std::span<const int> adapter_of_task,
                                                    std::uint64_t batch_bytes, int ranks_per_node);

}  // namespace d2c::driver
