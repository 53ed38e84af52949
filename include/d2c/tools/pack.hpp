#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace d2c::tools {

struct LibraryOptions {
  /// One manifest (file, or folder by convention), or PEFT folders.
  std::vector<std::filesystem::path> inputs;
  std::filesystem::path output;
  /// Base model that the adapters are checked against; a manifest names its own.
  std::filesystem::path model;
  std::filesystem::path manifest_output;  ///< a manifest that reads from the library; empty = none
  enum class IfExists { refuse, replace, append };
  IfExists if_exists = IfExists::refuse;
  std::function<void(const std::string&)> log;  ///< progress; may be empty
};

struct PackSummary {
  std::size_t n_adapters = 0;  ///< in the library
  std::size_t n_resumed = 0;   ///< of them packed by an earlier call that did not finish
  std::uint64_t bytes = 0;     ///< of the library file
};

/// Packs adapters into one library file (docs/user/library-format.md), one adapter at a time. What
/// is done is noted in `OUTPUT.partial.journal`; the same call goes on from there. The output
/// appears under its name when it is whole.
///
/// Memory: one adapter as stored and in float32, and about 3 KiB plus twelve bytes per module
/// for each adapter.
/// @throws InputError: an adapter is not valid or has another shape than the others, the output
/// exists, the disk is full
PackSummary pack(const LibraryOptions& options);

/// Reads every adapter of a library and compares it with its checksum and with the index.
/// @return  one line for people
/// @throws InputError naming the first damaged adapter and their number
[[nodiscard]] std::string verify_library(const std::filesystem::path& library);

}  // namespace d2c::tools
