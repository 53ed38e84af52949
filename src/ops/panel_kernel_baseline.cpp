#include "panel_kernel_body.hpp"

// AVX2: 6 x 16 of the 16 registers hold sums. The same shape is sound on other instruction sets.
void d2c::ops::multiply_block_baseline(const PanelProduct& product) {
  multiply_all<8, 2, 6>(product);
}
