#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "d2c/core/input_file.hpp"

#include "files/hdf5.hpp"

/// Text of variable length without HDF5's code for it, which trusts the lengths in a file:
/// HDF5 1.10 writes beyond its memory where they do not fit. HDF5 hands out the references as they
/// are stored, and the texts are looked up here.
namespace d2c::results::h5 {

/// Bytes of a reference in a file: length, address of a collection, index in it.
inline constexpr std::size_t reference_bytes = 16;

/// Type in memory in which stored text is read as its references.
[[nodiscard]] Type reference_type();

/// The collections of texts ("global heap") of a file.
class TextHeap {
 public:
  explicit TextHeap(const std::filesystem::path& file) : file_(file) {}

  /// @param references  reference_bytes each
  /// @throws InputError if a reference leads to no text of the file, or all of them to more text
  ///         than the file can hold
  [[nodiscard]] std::vector<std::string> texts(std::span<const std::byte> references,
                                               const Where& where) const;

 private:
  struct Collection {
    std::vector<std::byte> bytes;
    std::map<std::uint32_t, std::span<const std::byte>> objects;  ///< by index, parts of bytes
  };
  [[nodiscard]] const Collection& collection(std::uint64_t address, const Where& where) const;

  InputFile file_;
  mutable std::map<std::uint64_t, Collection> known_;  ///< by address
};

}  // namespace d2c::results::h5
