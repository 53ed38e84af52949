#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "d2c/comm/communicator.hpp"
#include "d2c/core/id.hpp"
#include "d2c/eval/manifest.hpp"
#include "d2c/job/generate.hpp"

namespace d2c::job {

/// An adapter that writes.
struct Author {
  std::string name;          ///< base, own, cluster_03
  std::string adapter = {};  ///< PEFT folder or LIBRARY::NAME; empty = none

  [[nodiscard]] bool operator==(const Author&) const = default;
};

/// The answers of one author to the prompts of one task.
struct Piece {
  TaskId task;
  Author author;
};

/// What is generated, as all ranks know it.
struct GenerationSource {
  eval::Manifest manifest;
  RunOptions options;                 ///< of the results, with those of the call
  std::vector<Piece> pieces;          ///< by task, then base, own, cluster: the order of the output
  std::vector<std::string> adapters;  ///< base, own, clusters: those that write
};

/// Rank 0 reads results and manifest for all. Collective.
/// @throws InputError or UsageError, the same on every rank
[[nodiscard]] GenerationSource find_source(comm::Communicator& comm,
                                           const GenerateOptions& options);

/// Whether the source is a results file or its folder.
[[nodiscard]] bool is_result(const std::filesystem::path& source);

}  // namespace d2c::job
