#include "d2c/ops/peak.hpp"

#include "d2c/core/cpu_time.hpp"

#include "panel/panel_kernel.hpp"

namespace d2c::ops {

namespace {

double peak_of(FmaChains (*run)(Index steps, float start), double seconds) {
  constexpr Index steps = 10'000;
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

}  // namespace

double fma_peak(double seconds) { return peak_of(vector_kernels().fma_chains, seconds); }

double bf16_peak(double seconds) {
  const auto chains = vector_kernels().bf16.chains;
  return chains == nullptr ? 0.0 : peak_of(chains, seconds);
}

}  // namespace d2c::ops
