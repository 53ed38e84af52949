#include "files/fnv_seal.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>

namespace d2c::results {
namespace {

/// FNV-1a over words of 8 bytes, the last one of a stretch filled with zeros, then over the sizes.
/// Both steps of a word are one-to-one, so that no change of one word can go unseen.
class Fnv {
 public:
  /// @param folds  whether the upper bits of the hash reach the lower ones after each word. Without
  ///               it two changes in the last bytes of two words can hide each other.
  explicit Fnv(bool folds) : folds_(folds) {}
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

}  // namespace

std::string fnv_text(std::ifstream& in, std::uint64_t bytes, std::optional<Hole> hole) {
  Fnv checksum(hole.has_value());
  in.seekg(0);
  checksum.add(in, hole ? hole->begin : bytes);
  if (hole) {
    in.seekg(static_cast<std::streamoff>(hole->end));
    checksum.add(in, bytes - hole->end);
  }
  return fmt::format("{:016x}", checksum.value());
}

}  // namespace d2c::results
