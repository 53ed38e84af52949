#pragma once

#include <cstdint>

namespace d2c::ops {

/// exp(x) to about 1 ulp, in a form that vectorises. Always inlined (so is the bit cast): loops
/// compiled for other instruction sets must not leave a copy for the linker to choose. 0 below
/// -87.33, constant above 88. Source: range reduction and polynomial of Cephes' expf (Moshier).
[[nodiscard, gnu::always_inline]] inline float fast_exp(float x) {
  constexpr float lowest = -87.33654F;  // log of the smallest normal number
  constexpr float highest = 88.0F;
  constexpr float log2_e = 1.44269504088896341F;
  constexpr float ln2_high = 0.693359375F;
  constexpr float ln2_low = -2.12194440e-4F;
  constexpr float round_to_integer = 12582912.0F;  // 1.5 * 2^23: the integer is in the low bits

  float bounded = x < lowest ? lowest : x;
  bounded = bounded > highest ? highest : bounded;
  const float shifted = bounded * log2_e + round_to_integer;
  const float n = shifted - round_to_integer;
  const float r = (bounded - n * ln2_high) - n * ln2_low;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float mantissa = p * r * r + r + 1.0F;
  const auto exponent = __builtin_bit_cast(std::uint32_t, shifted) -
                        __builtin_bit_cast(std::uint32_t, round_to_integer) + 127U;
  const float value = mantissa * __builtin_bit_cast(float, exponent << 23U);
  return x < lowest ? 0.0F : value;
}

}  // namespace d2c::ops
