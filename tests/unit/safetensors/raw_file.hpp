#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>

#include "test_support.hpp"

namespace d2c::safetensors {

/// The bytes of a file with this header and `n_data` data bytes, valid or not.
inline std::string raw_file(const std::string& header, std::size_t n_data) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + std::string(n_data, '\0');
}

}  // namespace d2c::safetensors
