#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace d2c::results {

/// Losses already measured: the content cache of the search, so that a resumed run computes only
/// what is missing.
struct CachedLoss {
  std::vector<int> tasks;      ///< whose adapters were merged; ascending, without repeats
  int task = 0;                ///< whose loss it is
  std::vector<double> losses;  ///< nats per token, [fold]; the same number of folds in every entry

  [[nodiscard]] bool operator==(const CachedLoss&) const = default;
};

/// State from which the same command goes on.
struct Checkpoint {
  std::string config_hash;  ///< the run it belongs to; the caller compares it with its own
  std::vector<CachedLoss> cache;
  std::map<std::string, std::int64_t> counters;  ///< progress: iteration, rng_position, ...
  std::map<std::string, double> scalars;         ///< progress: best_objective, seconds_used, ...

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
