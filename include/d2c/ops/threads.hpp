#pragma once

namespace d2c::ops {

/// Threads that the kernels of this process may use from now on. @pre n >= 1
void set_threads(int n);

/// Processors that this process may run on: those of its affinity mask, as the launcher set it.
[[nodiscard]] int usable_processors();

}  // namespace d2c::ops
