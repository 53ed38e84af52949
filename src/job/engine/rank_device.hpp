#pragma once

#include <memory>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run.hpp"
#include "d2c/job/run_options.hpp"

namespace d2c::job {

/// What the options say of the engine of a rank.
[[nodiscard]] eval::EngineChoice engine_choice(const RunOptions& options);

/// The GPU of each rank, as an index into those that it sees: the ranks of a node take theirs in
/// turn. A launcher may show each rank a GPU of its own.
/// @param nodes  [ranks]
/// @param gpus   [ranks] see eval::usable_gpus()
/// @return [ranks]; empty if some rank sees none, or too many would share one
[[nodiscard]] std::vector<int> assigned_gpus(const std::vector<int>& nodes,
                                             const std::vector<std::vector<std::string>>& gpus,
                                             int ranks_per_gpu);

/// The engine of this rank, no longer automatic; where the options say automatic, the same kind on
/// every rank. Collective.
/// @throws UsageError the same on every rank if there are not enough GPUs
[[nodiscard]] eval::EngineChoice choose_engine(comm::Communicator& comm, const RunOptions& options);

/// The engine that was chosen. Collective.
/// @throws Error the same on every rank
[[nodiscard]] std::unique_ptr<eval::LossEngine> made_engine(comm::Communicator& comm,
                                                            const RunContext& context,
                                                            const model::Model& model,
                                                            const eval::EngineChoice& choice);

}  // namespace d2c::job
