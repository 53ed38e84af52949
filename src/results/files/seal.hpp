#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

/// The CRC-32 of the whole file in a line of text behind the HDF5 content, where HDF5 does not
/// look.
///
/// HDF5 1.10 can crash on damaged data (its heaps of text carry no checksum), so that the seal is
/// verified before HDF5 sees the file. Other programs that change the file cut the seal off.
namespace d2c::results {

enum class Seal { fits, broken, absent };

/// A stretch of bytes that a seal leaves out, because it is large, is not read by HDF5 and has
/// checksums of its own.
struct Hole {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// What seals a file when it is written behind its content; it names the hole, too.
/// @throws IoError if the file cannot be read
[[nodiscard]] std::string seal_line(const std::filesystem::path& file,
                                    std::optional<Hole> hole = std::nullopt);

/// Of a file without a hole. @throws IoError if it cannot be read
[[nodiscard]] Seal check_seal(const std::filesystem::path& file);

/// The hole of a file whose seal fits; nothing if the seal is absent or broken.
/// @throws IoError if the file cannot be read
[[nodiscard]] std::optional<Hole> check_holed_seal(const std::filesystem::path& file);

}  // namespace d2c::results
