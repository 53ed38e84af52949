#include "panel_kernel_body.hpp"

// 12 x 32: 24 of the 32 registers hold sums.
void d2c::ops::multiply_block_avx512(const PanelProduct& product) {
  multiply_all<16, 2, 12>(product);
}
