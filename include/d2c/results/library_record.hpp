#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "d2c/core/input_file.hpp"
#include "d2c/lora/adapter.hpp"

namespace d2c::results {

/// Where one adapter lies in a library file: the text of adapter_config.json, zeros up to a
/// multiple of 64 bytes, then adapter_model.safetensors byte for byte. See
/// docs/user/library-format.md.
struct LibraryRecord {
  std::uint64_t begin = 0;          ///< bytes from the start of the file
  std::uint64_t config_bytes = 0;   ///< length of the configuration, which comes first
  std::uint64_t tensors_begin = 0;  ///< bytes from the start of the record
  std::uint64_t tensors_bytes = 0;
  std::uint64_t checksum = 0;  ///< CRC-32 of the record

  [[nodiscard]] std::uint64_t bytes() const { return tensors_begin + tensors_bytes; }
};

/// Reads a record and verifies its checksum. @throws InputError naming file and adapter
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
