#include "adapters/residence.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "d2c/comm/node_file.hpp"

namespace d2c::job {
namespace {

namespace fs = std::filesystem;

/// The first number in a file; nothing for "max" or without the file.
std::optional<std::uint64_t> number_in(const fs::path& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// The number behind a word at the start of a line.
std::optional<std::uint64_t> field_in(const fs::path& file, const std::string& field) {
  std::ifstream in(file);
  for (std::string word; in >> word; in.ignore(std::numeric_limits<std::streamsize>::max(), '\n')) {
    std::uint64_t value = 0;
    if (word == field && in >> value) return value;
  }
  return std::nullopt;
}

/// What a control group leaves; its page cache can be given up.
std::optional<std::uint64_t> left_by_group(const fs::path& group) {
  const auto limit = number_in(group / "memory.max");
  const auto used = number_in(group / "memory.current");
  if (!limit || !used) return std::nullopt;
  const std::uint64_t cache = field_in(group / "memory.stat", "inactive_file").value_or(0);
  const std::uint64_t kept = *used - std::min(*used, cache);
  return *limit - std::min(*limit, kept);
}

std::string gib(double bytes) { return fmt::format("{:.2f} GiB", bytes / (1 << 30)); }

/// Bytes that this process and its neighbours on the host may still use: MemAvailable, or what the
/// control groups leave where that is less. 0 = not known.
std::uint64_t available_memory() {
  std::uint64_t available = std::numeric_limits<std::uint64_t>::max();
  if (const auto kib = field_in("/proc/meminfo", "MemAvailable:")) available = *kib * 1024;
  // Version 2 of control groups: "0::/path", and every group above it has its own limit.
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::/")) continue;
    const fs::path root = "/sys/fs/cgroup";
    for (fs::path group = root / line.substr(4);; group = group.parent_path()) {
      if (const auto left = left_by_group(group)) available = std::min(available, *left);
      if (group == root || !group.has_relative_path()) break;
    }
  }
  return available == std::numeric_limits<std::uint64_t>::max() ? 0 : available;
}

}  // namespace

Residence decide_residence(comm::Communicator& comm, AdaptersIn wanted,
                           std::span<const double> bytes, std::span<const int> owners,
                           std::uint64_t beside) {
  if (wanted != AdaptersIn::automatic) return {wanted, "as --adapters-in says"};
  double own = 0.0;
  for (std::size_t adapter = 0; adapter < owners.size(); ++adapter) {
    if (owners[adapter] == comm.rank()) own += bytes[adapter];
  }
  // Adapters of this rank, what it needs besides, what its host has.
  const std::array<double, 3> mine{own, static_cast<double>(beside),
                                   static_cast<double>(available_memory())};
  const auto all = comm::all_gather_values<double>(comm, std::span<const double>(mine));
  const auto hosts = comm::hosts(comm);

  struct Host {
    double adapters = 0.0;
    double beside = 0.0;
    double available = 0.0;
    int ranks = 0;
    [[nodiscard]] double fill() const {
      return available > 0 ? (adapters + beside) / available : 0.0;
    }
  };
  std::map<std::uint64_t, Host> by_host;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    Host& host = by_host[hosts[rank]];
    host.adapters += all[rank][0];
    host.beside += all[rank][1];
    host.available = host.ranks == 0 ? all[rank][2] : std::min(host.available, all[rank][2]);
    ++host.ranks;
  }
  const Host& fullest = std::ranges::max_element(by_host, {}, [](const auto& row) {
                          return row.second.fill();
                        })->second;
  // A fifth is left to what grows later: activations, page cache, other processes.
  const bool fits = fullest.fill() <= 0.8;
  return {fits ? AdaptersIn::memory : AdaptersIn::disk,
          fmt::format("{} of adapters and {} of buffers for the {} rank{} of the fullest host, "
                      "which has {} available",
                      gib(fullest.adapters), gib(fullest.beside), fullest.ranks,
                      fullest.ranks == 1 ? "" : "s", gib(fullest.available))};
}

}  // namespace d2c::job
