#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>

#include "files/seal.hpp"

/// Lines that files were sealed with before CRC-32: 64-bit FNV-1a over words. Only read.
namespace d2c::results {

/// Checksum of the first `bytes` bytes without the hole, as the line gives it: 16 digits.
[[nodiscard]] std::string fnv_text(std::ifstream& in, std::uint64_t bytes,
                                   std::optional<Hole> hole);

}  // namespace d2c::results
