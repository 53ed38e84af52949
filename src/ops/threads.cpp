#include "d2c/ops/threads.hpp"

#include <omp.h>

namespace d2c::ops {

void set_threads(int n) { omp_set_num_threads(n); }

}  // namespace d2c::ops
