#pragma once

namespace d2c::ops {

/// Threads that the kernels of this process may use from now on. @pre n >= 1
void set_threads(int n);

}  // namespace d2c::ops
