#include "seal.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "d2c/core/error.hpp"

namespace d2c::results {
namespace {

constexpr std::string_view seal_start = "\nd2c checksum ";
constexpr std::string_view hole_start = " without ";
constexpr std::size_t seal_bytes = seal_start.size() + 16 + 1;
/// With the two ends of a hole.
constexpr std::size_t holed_bytes = seal_bytes + hole_start.size() + 16 + 1 + 16;

std::string seal_text(std::uint64_t checksum) {
  return fmt::format("{}{:016x}\n", seal_start, checksum);
}

std::string seal_text(std::uint64_t checksum, Hole hole) {
  return fmt::format("{}{:016x}{}{:016x} {:016x}\n", seal_start, checksum, hole_start, hole.begin,
                     hole.end);
}

/// FNV-1a over words of 8 bytes, the last one of a stretch filled with zeros, then over the sizes.
/// Both steps of a word are one-to-one, so that no change of one word can go unseen.
class Checksum {
 public:
  /// @param folds  whether the upper bits of the hash reach the lower ones after each word. Without
  ///               it two changes in the last bytes of two words can hide each other.
  explicit Checksum(bool folds) : folds_(folds) {}
  void add(std::ifstream& in, std::uint64_t bytes) {
    std::vector<char> block(1 << 20);
    for (std::uint64_t left = bytes; left > 0 && in;) {
      const std::uint64_t size = std::min<std::uint64_t>(left, block.size());
      std::fill(block.begin(), block.end(), '\0');
      in.read(block.data(), static_cast<std::streamsize>(size));
      for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
        std::uint64_t word;
        std::memcpy(&word, block.data() + at, sizeof(word));
        mix(word);
      }
      left -= size;
    }
    mix(bytes);
  }
  [[nodiscard]] std::uint64_t value() const { return hash_; }

 private:
  void mix(std::uint64_t word) {
    hash_ = (hash_ ^ word) * 0x100000001b3;
    if (folds_) hash_ ^= hash_ >> 32;
  }
  bool folds_;
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

std::uint64_t checksum_of(std::ifstream& in, std::uint64_t bytes) {
  Checksum checksum(/*folds=*/false);
  checksum.add(in, bytes);
  return checksum.value();
}

/// Of the bytes before and behind the hole.
std::uint64_t checksum_of(std::ifstream& in, std::uint64_t bytes, Hole hole) {
  Checksum checksum(/*folds=*/true);
  checksum.add(in, hole.begin);
  in.seekg(static_cast<std::streamoff>(hole.end));
  checksum.add(in, bytes - hole.end);
  return checksum.value();
}

[[noreturn]] void fail(const std::filesystem::path& file, const char* what, const char* fix) {
  throw InputError({file, {}}, {what, std::strerror(errno), fix});
}

}  // namespace

void append_seal(const std::filesystem::path& file, const std::filesystem::path& shown_as) {
  std::ifstream in(file, std::ios::binary);
  const std::uint64_t checksum = checksum_of(in, std::filesystem::file_size(file));
  std::ofstream out(file, std::ios::binary | std::ios::app);
  out << seal_text(checksum) << std::flush;
  if (!in || !out) {
    fail(shown_as, "cannot be written", "free some space or write to another place");
  }
}

Seal check_seal(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) fail(file, "cannot be opened", "check its permissions");
  const auto size = static_cast<std::uint64_t>(in.tellg());
  if (size < seal_bytes) return Seal::absent;
  std::string seal(seal_bytes, '\0');
  in.seekg(static_cast<std::streamoff>(size - seal_bytes));
  in.read(seal.data(), static_cast<std::streamsize>(seal_bytes));
  if (!seal.starts_with(seal_start)) return Seal::absent;
  in.seekg(0);
  const std::uint64_t checksum = checksum_of(in, size - seal_bytes);
  if (!in) fail(file, "cannot be read to its end", "check the file system");
  return seal == seal_text(checksum) ? Seal::fits : Seal::broken;
}

void append_seal(const std::filesystem::path& file, const std::filesystem::path& shown_as,
                 Hole hole) {
  std::ifstream in(file, std::ios::binary);
  const std::uint64_t checksum = checksum_of(in, std::filesystem::file_size(file), hole);
  std::ofstream out(file, std::ios::binary | std::ios::app);
  out << seal_text(checksum, hole) << std::flush;
  if (!in || !out) {
    fail(shown_as, "cannot be written", "free some space or write to another place");
  }
}

std::optional<Hole> check_holed_seal(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) fail(file, "cannot be opened", "check its permissions");
  const auto size = static_cast<std::uint64_t>(in.tellg());
  if (size < holed_bytes) return std::nullopt;
  const std::uint64_t content = size - holed_bytes;
  std::string seal(holed_bytes, '\0');
  in.seekg(static_cast<std::streamoff>(content));
  in.read(seal.data(), static_cast<std::streamsize>(holed_bytes));
  const auto number_at = [&](std::size_t at) {
    std::uint64_t value = 0;
    std::from_chars(seal.data() + at, seal.data() + at + 16, value, 16);
    return value;
  };
  const std::size_t numbers = seal_start.size() + 16 + hole_start.size();
  const Hole hole{number_at(numbers), number_at(numbers + 17)};
  if (hole.begin > hole.end || hole.end > content) return std::nullopt;
  in.seekg(0);
  const std::uint64_t checksum = checksum_of(in, content, hole);
  if (!in) fail(file, "cannot be read to its end", "check the file system");
  if (seal != seal_text(checksum, hole)) return std::nullopt;
  return hole;
}

}  // namespace d2c::results
