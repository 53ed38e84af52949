#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

/// The CRC-32 of the whole file in a line of text behind the HDF5 content, where HDF5 does not
/// look.
///
/// HDF5 1.10 can crash on damaged data (its heaps of text carry no checksum), so that the seal is
/// verified before HDF5 sees the file. Other programs that change the file cut the seal off.
namespace d2c::results {

enum class Seal { fits, broken, absent };

/// @param shown_as  name of the file in messages
/// @throws InputError if the file cannot be written
void append_seal(const std::filesystem::path& file, const std::filesystem::path& shown_as);

/// @throws InputError if the file cannot be read
[[nodiscard]] Seal check_seal(const std::filesystem::path& file);

/// A stretch of bytes that a seal leaves out, because it is large, is not read by HDF5 and has
/// checksums of its own.
struct Hole {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// The same with a hole, which the line of text names too.
void append_seal(const std::filesystem::path& file, const std::filesystem::path& shown_as,
                 Hole hole);

/// The hole of a file whose seal fits; nothing if the seal is absent or broken.
/// @throws InputError if the file cannot be read
[[nodiscard]] std::optional<Hole> check_holed_seal(const std::filesystem::path& file);

}  // namespace d2c::results
