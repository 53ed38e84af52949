#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace d2c {

/// CRC-32 of zlib, gzip and PNG: other programs can check it (`zlib.crc32` in Python).
/// @param before  of the bytes that stand before these
[[nodiscard]] std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace d2c
