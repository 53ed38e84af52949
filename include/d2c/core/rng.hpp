#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace d2c {

/// Philox4x32-10: four random words as a pure function of (counter, key).
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
[[nodiscard]] std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                      std::array<std::uint32_t, 2> key);

/// Digest of a text, for deriving streams from names.
[[nodiscard]] std::uint64_t hash_name(std::string_view text);

/// Random numbers that depend only on (seed, stream, position): the same on every rank, for any
/// number of ranks and in any order of use of different streams.
class CounterRng {
 public:
  CounterRng(std::uint64_t seed, std::uint64_t stream);

  /// Uniform 64-bit word.
  [[nodiscard]] std::uint64_t next();
  /// Uniform in [0, 1), 53 bits.
  [[nodiscard]] double uniform();
  /// Uniform in [0, bound), without modulo bias. @pre bound > 0
  [[nodiscard]] std::uint64_t below(std::uint64_t bound);
  /// Standard normal (Box-Muller).
  [[nodiscard]] double normal();

  /// Words drawn so far; a new generator with the same seed and stream can skip to it.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  void skip_to(std::uint64_t position) { position_ = position; }

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint64_t stream_;
  std::uint64_t position_ = 0;
};

}  // namespace d2c
