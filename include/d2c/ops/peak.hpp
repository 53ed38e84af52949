#pragma once

namespace d2c::ops {

/// Runs independent chains of fused multiply-adds in registers, with the widest vectors that this
/// module uses on this machine, for about `seconds` of processor time.
/// @return floating-point operations per second of processor time of one thread
[[nodiscard]] double fma_peak(double seconds = 0.005);

/// The same for chains of BF16 pairs; 0 where the processor has no BF16 arithmetic.
[[nodiscard]] double bf16_peak(double seconds = 0.005);

}  // namespace d2c::ops
