#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "d2c/safetensors/reader.hpp"

namespace d2c::safetensors {

inline constexpr std::size_t prefix_bytes = 8;  ///< the header length, u64 little-endian
inline constexpr std::uint64_t max_header_bytes = 100'000'000;

/// The validated header of a whole file.
struct Header {
  std::map<std::string, TensorInfo> tensors;
  std::size_t data_begin = 0;  ///< offset of the data section in the file
};

/// @param content  all bytes of the file
/// @param file     for messages
/// @throws InputError naming file and tensor
[[nodiscard]] Header parse_header(std::span<const std::byte> content,
                                  const std::filesystem::path& file);

}  // namespace d2c::safetensors
