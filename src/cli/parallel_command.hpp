#pragma once

#include <functional>

#include "d2c/comm/communicator.hpp"

namespace d2c::cli {

/// Runs `work` on all ranks with MPI. An error that all ranks share is printed by rank 0; one that
/// a single rank meets is printed with its rank and ends all of them, since the others may be
/// waiting for it.
int with_mpi(const std::function<int(comm::Communicator&)>& work);

}  // namespace d2c::cli
