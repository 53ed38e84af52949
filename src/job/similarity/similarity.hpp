#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "d2c/cluster/search.hpp"

#include "adapters/adapter_store.hpp"

namespace d2c::job {

/// Cosine of the weight updates of every pair of tasks' adapters. Batches of factors, module by
/// module, visit every node, whose ranks compare them with those of their own adapters; each pair
/// is computed once, by one rank. The values lie in the memory of each node once, 8 n_adapters^2
/// bytes, for as long as any copy of the result lives; all ranks must let go of them in the same
/// order. Collective.
/// @param batch_bytes     cap on the factors that visit at a time, and on those that a rank makes
/// ready for them; at
///                        least one adapter's of one module do
/// @param ranks_per_node  see comm::Communicator::nodes
/// @param n_threads       of this rank, that share the work
[[nodiscard]] cluster::SimilarityMatrix task_similarity(
    comm::Communicator& comm, const AdapterStore& adapters,
    const IdVector<TaskId, AdapterId>& adapter_of_task, std::uint64_t batch_bytes,
    int ranks_per_node, int n_threads);

/// Inner products of the factors of every pair of tasks' adapters, of which the largest fifth of
/// the entries of each matrix is kept; see lora::trimmed and lora::factor_gram. Memory as in
/// task_similarity(). Collective.
[[nodiscard]] cluster::SimilarityMatrix trimmed_task_gram(
    comm::Communicator& comm, const AdapterStore& adapters,
    const IdVector<TaskId, AdapterId>& adapter_of_task, std::uint64_t batch_bytes,
    int ranks_per_node, int n_threads);

/// A provider that asks another one once and keeps what it gets as long as it lives.
[[nodiscard]] cluster::SimilarityProvider kept(cluster::SimilarityProvider provider);

/// Does work on rank 0 and gives its result to all. Collective. @throws on every rank what it
/// throws
[[nodiscard]] std::vector<std::int64_t> on_root(
    comm::Communicator& comm, const std::function<std::vector<std::int64_t>()>& work);

}  // namespace d2c::job
