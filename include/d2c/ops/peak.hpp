#pragma once

namespace d2c::ops {

/// Runs independent chains of fused multiply-adds in registers, with the widest vectors that this
/// module uses on this machine, for about `seconds` of processor time.
/// @return floating-point operations per second of processor time of one thread
[[nodiscard]] double fma_peak(double seconds = 0.005);

}  // namespace d2c::ops
