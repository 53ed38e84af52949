#include <algorithm>

#include "panel/panel_kernel_body.hpp"

namespace d2c::ops {
namespace {

void round_to_bf16(const float* from, Index n, BFloat16* to) {
  for (Index k = 0; k < n; k += 32) {
    const auto remaining = static_cast<unsigned>(std::min(n - k, Index{32}));
    const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << remaining) - 1);
    const __m512 first = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), from + k);
    const __m512 second = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16U), from + k + 16);
    const __m512bh rounded = _mm512_cvtne2ps_pbh(second, first);
    std::memcpy(to + k, &rounded, sizeof rounded);
  }
}

}  // namespace
}  // namespace d2c::ops

d2c::ops::Bf16Kernels d2c::ops::avx512_bf16_kernels() {
  return {multiply_all<16, 2, 12, BFloat16, BFloat16>, round_to_bf16, Tile<16, 1, 16>::bf16_chains};
}
