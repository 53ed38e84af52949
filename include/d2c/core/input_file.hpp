#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace d2c {

/// A regular file that is read by ranges, without a position: several readers do not disturb each
/// other.
class InputFile {
 public:
  /// @throws InputError if it is no regular file, IoError
  explicit InputFile(std::filesystem::path file);
  /// Takes over a file that is open already.
  /// @param descriptor  closed by this object
  InputFile(std::filesystem::path file, int descriptor);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  [[nodiscard]] const std::filesystem::path& file() const { return file_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  /// Bytes, when it was opened.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  /// Fills `target` from byte `begin` on. @throws IoError; InputError where the file ends before
  void read(std::uint64_t begin, std::span<std::byte> target) const;
  [[nodiscard]] std::vector<std::byte> read(std::uint64_t begin, std::uint64_t bytes) const;

 private:
  void examine();

  std::filesystem::path file_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// Whether an input that may be missing is there. A link that leads nowhere is: what reads it then
/// refuses it, and nothing goes on without.
[[nodiscard]] bool is_present(const std::filesystem::path& file);

/// Of bytes [begin, end) of a file, read a part at a time. @throws as InputFile::read()
/// @param before  as of crc32() in checksum.hpp
[[nodiscard]] std::uint32_t crc32(const InputFile& file, std::uint64_t begin, std::uint64_t end,
                                  std::uint32_t before = 0);

/// Most bytes of a text that is read whole: a configuration, a tokenizer, examples.
inline constexpr std::uint64_t largest_text = std::uint64_t{1} << 30;

/// The whole of a regular file. @throws InputError or IoError if it is none, larger than `most`
/// bytes, or cannot be read
[[nodiscard]] std::string read_text(const std::filesystem::path& file,
                                    std::uint64_t most = largest_text);

}  // namespace d2c
