#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "d2c/comm/communicator.hpp"

namespace d2c::job {

/// Where a rank keeps the factors of its adapters between uses.
enum class AdaptersIn {
  memory,
  disk,       ///< read again from folder or library when they are wanted
  automatic,  ///< memory if they fit on every host
};

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

/// Bytes that this process and its neighbours on the host may still use: MemAvailable, or what the
/// control groups leave where that is less. 0 = not known.
[[nodiscard]] std::uint64_t available_memory();

}  // namespace d2c::job
