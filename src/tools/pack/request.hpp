#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "d2c/eval/manifest.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/tools/pack.hpp"

namespace d2c::tools {

/// An adapter to be packed.
struct PackEntry {
  std::string name;
  std::filesystem::path folder;
};

/// What is to be packed.
struct PackRequest {
  std::vector<PackEntry> entries;           ///< names differ
  std::vector<lora::TargetModule> modules;  ///< of the base model, by name; empty = not at hand
  std::filesystem::path model;
  std::optional<eval::Manifest> manifest;  ///< the input's, with adapters named in the library
};

/// Reads the manifest and the configuration of the base model, where there are such.
/// @throws InputError, IoError
[[nodiscard]] PackRequest read_request(const LibraryOptions& options);

}  // namespace d2c::tools
