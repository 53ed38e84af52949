#include "d2c/ops/threads.hpp"

#include <omp.h>

namespace d2c::ops {

void set_threads(int n) { omp_set_num_threads(n); }

int usable_processors() { return omp_get_num_procs(); }

}  // namespace d2c::ops
