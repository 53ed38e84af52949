#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace d2c {

/// SHA-256 (FIPS 180-4) of a content, taken piece by piece: what other tools check files with.
class Sha256 {
 public:
  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text) { return update(std::as_bytes(std::span(text))); }
  /// 64 hexadecimal digits. Call once, last.
  [[nodiscard]] std::string text();

 private:
  void add_block(std::span<const std::byte, 64> block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> rest_{};  ///< bytes that fill no block yet
  std::uint64_t bytes_ = 0;           ///< so far
};

/// Of a file's bytes. @throws InputError or IoError if it cannot be read
[[nodiscard]] std::string sha256_of(const std::filesystem::path& file);

}  // namespace d2c
