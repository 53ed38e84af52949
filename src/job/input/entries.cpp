#include "input/entries.hpp"

#include <array>
#include <cstdint>

#include "input/wire.hpp"

namespace d2c::job {

using Entry = cluster::CachedOracle::Entry;

/// Wire form of cached losses: per entry the sizes of its three parts, then the parts.
std::vector<std::byte> pack_entries(const std::vector<Entry>& entries) {
  std::vector<std::byte> bytes;
  for (const Entry& entry : entries) {
    const std::array<std::uint64_t, 3> sizes{entry.set.size(), entry.tasks.size(),
                                             entry.losses.size()};
    append_wire(bytes, std::span(sizes));
    append_wire(bytes, std::span(entry.set));
    append_wire(bytes, std::span(entry.tasks));
    append_wire(bytes, std::span(entry.losses));
  }
  return bytes;
}

std::vector<Entry> unpack_entries(std::span<const std::byte> bytes) {
  std::vector<Entry> entries;
  while (!bytes.empty()) {
    std::array<std::uint64_t, 3> sizes{};
    take_wire(bytes, std::span(sizes));
    Entry& entry = entries.emplace_back();
    entry.set.resize(sizes[0]);
    entry.tasks.resize(sizes[1]);
    entry.losses.resize(sizes[2]);
    take_wire(bytes, std::span(entry.set));
    take_wire(bytes, std::span(entry.tasks));
    take_wire(bytes, std::span(entry.losses));
  }
  return entries;
}

}  // namespace d2c::job
