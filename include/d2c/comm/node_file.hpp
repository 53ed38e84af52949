#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "d2c/comm/communicator.hpp"

namespace d2c::comm {

/// The host of each rank as a number: equal for ranks on one host. Collective.
[[nodiscard]] std::vector<std::uint64_t> hosts(Communicator& comm);

/// Opens a file for reading once per host: the lowest rank there opens it and hands the open file
/// to the others (SCM_RIGHTS), so that a metadata server sees one request per host. A rank that
/// gets none opens the file itself. Collective.
/// @return  descriptor, or -errno
[[nodiscard]] int open_once_per_host(Communicator& comm, const std::filesystem::path& file);

}  // namespace d2c::comm
