#include "d2c/ops/peak.hpp"

#include "d2c/core/cpu_time.hpp"

#include "panel_kernel.hpp"

namespace d2c::ops {

double fma_peak(double seconds) {
  constexpr Index steps = 10'000;
  const auto run = vector_kernels().fma_chains;
  const double start = thread_cpu_seconds();
  double flops = 0.0;
  double elapsed = 0.0;
  float value = 1.0F;
  do {
    const FmaChains chains = run(steps, value);
    value = chains.value;
    flops += chains.flops;
    elapsed = thread_cpu_seconds() - start;
  } while (elapsed < seconds);
  return value > 0.0F ? flops / elapsed : 0.0;
}

}  // namespace d2c::ops
