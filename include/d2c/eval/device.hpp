#pragma once

namespace d2c::eval {

/// What losses are computed on.
enum class Device {
  cpu,
  cuda,       ///< NVIDIA GPU
  automatic,  ///< cuda where every rank has a GPU, else cpu
};

}  // namespace d2c::eval
