#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "d2c/cluster/cached_oracle.hpp"

namespace d2c::job {

/// Cached losses as bytes on their way between ranks.
[[nodiscard]] std::vector<std::byte> pack_entries(
    const std::vector<cluster::CachedOracle::Entry>& entries);
[[nodiscard]] std::vector<cluster::CachedOracle::Entry> unpack_entries(
    std::span<const std::byte> bytes);

}  // namespace d2c::job
