#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "d2c/comm/communicator.hpp"

namespace d2c::job {

/// One of the parts of a training's state, each of which lies on one rank.
struct StatePart {
  int by = 0;             ///< rank that has it
  std::size_t bytes = 0;  ///< the same on every rank
};

/// Writes all parts into one file: they travel to rank 0 one after another. Collective.
/// @param key   of what the state belongs to
/// @param part  gives the bytes of a part that this rank has
/// @throws comm::AgreedError if the file cannot be written
void write_state(comm::Communicator& comm, const std::filesystem::path& file, std::uint64_t key,
                 std::span<const StatePart> parts,
                 const std::function<std::vector<std::byte>(std::size_t index)>& part);

/// Reads what write_state() wrote: each rank its own parts, on any number of ranks. Collective.
/// @param take  gets the bytes of a part that this rank has; called for all of them or for none
/// @return      whether there is a whole file of this key with such parts
[[nodiscard]] bool read_state(
    comm::Communicator& comm, const std::filesystem::path& file, std::uint64_t key,
    std::span<const StatePart> parts,
    const std::function<void(std::size_t index, std::span<const std::byte> bytes)>& take);

}  // namespace d2c::job
