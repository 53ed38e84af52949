#pragma once

#include <filesystem>

#include "d2c/comm/communicator.hpp"
#include "d2c/eval/model_folder.hpp"
#include "d2c/results/checkpoint.hpp"

namespace d2c::job {

/// A model folder, and what its files hold.
struct SharedModel {
  eval::ModelFolder folder;
  results::Identity content;  ///< digests of its files; on rank 0
};

/// eval::load_model_folder() for all ranks of a job: the weights of a node lie in memory that its
/// ranks share, filled by one of them. Collective.
/// @param ranks_per_node  see comm::Communicator::allocate_on_node
/// @throws InputError or UsageError, the same on every rank
[[nodiscard]] SharedModel load_shared_model(comm::Communicator& comm,
                                            const std::filesystem::path& folder,
                                            model::Precision precision, int ranks_per_node);

}  // namespace d2c::job
