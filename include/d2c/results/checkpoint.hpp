#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "d2c/core/id.hpp"

namespace d2c::results {

/// What losses were measured under and on.
struct LossKey {
  std::string under;                ///< `base`, `own`, a merge method, or a training of its merge
  std::string on;                   ///< the examples, and how they are divided into folds
  std::vector<AdapterId> adapters;  ///< that were merged, ascending; none under `base` and `own`
  std::vector<double> weights;      ///< one per adapter
  double scale = 1.0;               ///< factor on the merged update

  // NOLINTNEXTLINE(modernize-use-nullptr): the 0 is in the comparison that the compiler writes
  [[nodiscard]] auto operator<=>(const LossKey&) const = default;
};

/// Losses of some tasks under one key.
struct LossRow {
  std::vector<TaskId> tasks;   ///< ascending, without repeats
  std::vector<double> losses;  ///< nats per token, [tasks.size(), folds]; NaN = not measured

  [[nodiscard]] bool operator==(const LossRow&) const = default;
};

/// Everything that a job has measured.
using LossTable = std::map<LossKey, LossRow>;

/// What decides the numbers of a job, part by part: an option or an input, to what it is.
using Identity = std::map<std::string, std::string>;

/// State from which the same command goes on.
struct Checkpoint {
  Identity identity;  ///< of the job it belongs to; the caller compares it with its own
  LossTable measured;

  [[nodiscard]] bool operator==(const Checkpoint&) const = default;
};

/// Writes under a temporary name, flushes to disk, keeps the present checkpoint as
/// FILE.previous if it is whole, and renames. Whenever the process dies, one whole checkpoint is on
/// disk.
/// @throws IoError if it cannot be written
void write_checkpoint(const std::filesystem::path& file, const Identity& identity,
                      const LossTable& measured);

struct LoadedCheckpoint {
  Checkpoint checkpoint;
  std::string warning;  ///< one line if the newest one could not be used; empty = all is well
};

/// Reads the newest usable checkpoint; none on disk = nullopt. Every byte is under a checksum.
/// @throws InputError if checkpoints are there but none of them can be used: never starts over
///         silently
[[nodiscard]] std::optional<LoadedCheckpoint> read_checkpoint(const std::filesystem::path& file);

}  // namespace d2c::results
