#pragma once

#include "d2c/comm/communicator.hpp"

namespace d2c::test {

comm::Communicator*& world_pointer();

/// The MPI world of this test binary.
inline comm::Communicator& world() { return *world_pointer(); }

}  // namespace d2c::test
