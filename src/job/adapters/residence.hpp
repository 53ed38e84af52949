#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "d2c/comm/communicator.hpp"
#include "d2c/job/run_options.hpp"

namespace d2c::job {

/// What was chosen, and why in one line.
struct Residence {
  AdaptersIn in = AdaptersIn::memory;
  std::string reason;
};

/// Decides for all ranks together. Collective.
/// @param bytes   of each adapter as stored
/// @param owners  rank of each
/// @param beside  bytes that a rank needs besides its adapters
[[nodiscard]] Residence decide_residence(comm::Communicator& comm, AdaptersIn wanted,
                                         std::span<const double> bytes, std::span<const int> owners,
                                         std::uint64_t beside);

}  // namespace d2c::job
