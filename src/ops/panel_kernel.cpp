#include "panel_kernel.hpp"

namespace d2c::ops {
namespace {

PanelKernel best_kernel() {
#ifdef D2C_OPS_AVX512
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return multiply_panels_avx512;
  }
#endif
  return multiply_panels_baseline;
}

}  // namespace

void multiply_panels(const PanelProduct& product) {
  static const PanelKernel kernel = best_kernel();
  kernel(product);
}

}  // namespace d2c::ops
