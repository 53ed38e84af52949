#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "d2c/core/input_file.hpp"
#include "d2c/lora/adapter.hpp"
#include "d2c/results/library.hpp"

namespace d2c::results {

/// Reads a record and verifies its checksum. @throws InputError naming file and adapter
[[nodiscard]] std::vector<std::byte> read_record_bytes(const InputFile& library,
                                                       const std::string& name,
                                                       const LibraryRecord& record);

/// The same, as the files of the adapter.
[[nodiscard]] lora::AdapterFiles read_record(const InputFile& library, const std::string& name,
                                             const LibraryRecord& record);

/// Records of adapters by name. @throws InputError: not a whole library, or a name is not in it
[[nodiscard]] std::vector<LibraryRecord> find_records(const std::filesystem::path& library,
                                                      const std::vector<std::string>& names);

/// A single adapter.
/// @param place  PEFT folder, or LIBRARY::NAME
/// @throws InputError
[[nodiscard]] lora::AdapterFiles read_adapter_at(const std::filesystem::path& place);

}  // namespace d2c::results
