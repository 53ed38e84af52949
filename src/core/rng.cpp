#include "d2c/core/rng.hpp"

#include <cmath>
#include <numbers>

#include "d2c/core/digest.hpp"
#include "d2c/core/error.hpp"

namespace d2c {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                        std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9;
    k[1] += 0xBB67AE85;
  }
  return c;
}

std::uint64_t hash_name(std::string_view text) { return Digest().update(text).value(); }

CounterRng::CounterRng(std::uint64_t seed, std::uint64_t stream)
    : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
      stream_(stream) {}

std::uint64_t CounterRng::next() {
  const std::uint64_t block = position_ / 2;
  const auto words =
      philox4x32({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                  static_cast<std::uint32_t>(stream_), static_cast<std::uint32_t>(stream_ >> 32)},
                 key_);
  const std::size_t half = 2 * (position_++ % 2);
  return (std::uint64_t{words[half + 1]} << 32) | words[half];
}

double CounterRng::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

std::uint64_t CounterRng::below(std::uint64_t bound) {
  D2C_EXPECTS(bound > 0);
  // Words below `rejected` would make the first 2^64 mod bound residues more likely.
  const std::uint64_t rejected = (0 - bound) % bound;
  for (;;) {
    const std::uint64_t word = next();
    if (word >= rejected) return word % bound;
  }
}

double CounterRng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace d2c
