#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace d2c::results {

/// Losses already measured under one merged set: the content cache of the search, so that a resumed
/// run computes only what is missing.
struct CachedSet {
  std::vector<int> set;        ///< tasks whose adapters were merged; ascending, without repeats
  std::vector<int> tasks;      ///< whose losses are known; ascending, without repeats
  std::vector<double> losses;  ///< nats per token, [tasks.size(), n_folds]

  [[nodiscard]] bool operator==(const CachedSet&) const = default;
};

/// State from which the same command goes on.
struct Checkpoint {
  std::string config_hash;  ///< the run it belongs to; the caller compares it with its own
  int n_folds = 1;
  std::vector<CachedSet> cache;
  std::map<std::string, std::vector<double>> baselines;  ///< losses under baselines, by name
  std::map<std::string, std::int64_t> counters;          ///< progress: iteration, rng_position, ...
  std::map<std::string, double> scalars;  ///< progress: best_objective, seconds_used, ...

  [[nodiscard]] bool operator==(const Checkpoint&) const = default;
};

/// Writes under a temporary name, flushes to disk, keeps the present checkpoint as
/// FILE.previous, and renames. Whenever the process dies, one whole checkpoint is on disk.
/// @throws InputError if it cannot be written
void write_checkpoint(const std::filesystem::path& file, const Checkpoint& checkpoint);

struct LoadedCheckpoint {
  Checkpoint checkpoint;
  std::string warning;  ///< one line if the newest one could not be used; empty = all is well
};

/// Reads the newest usable checkpoint; none on disk = nullopt. Every byte is under a checksum.
/// @throws InputError if checkpoints are there but none of them can be used: never starts over
///         silently
[[nodiscard]] std::optional<LoadedCheckpoint> read_checkpoint(const std::filesystem::path& file);

}  // namespace d2c::results
