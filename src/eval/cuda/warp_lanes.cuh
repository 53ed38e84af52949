#pragma once

#include "device/kernels/lanes.hpp"

namespace d2c::eval::device {

/// HostLanes as the threads of a warp. On the host it does nothing.
class WarpLanes {
 public:
  template <class T>
  class Each {
   public:
    D2C_KERNEL T& operator[](int) { return value_; }
    D2C_KERNEL const T& operator[](int) const { return value_; }

   private:
    T value_;
  };

  template <class F>
  D2C_KERNEL void each(F f) const {
#ifdef __CUDA_ARCH__
    f(lane());
    __syncwarp();
#endif
  }
  template <class F>
  D2C_KERNEL void spread(Index n, F f) const {
#ifdef __CUDA_ARCH__
    for (Index i = lane(); i < n; i += n_lanes) f(i);
    __syncwarp();
#endif
  }
  template <class F>
  D2C_KERNEL void once(F f) const {
#ifdef __CUDA_ARCH__
    if (lane() == 0) f();
    __syncwarp();
#endif
  }
  [[nodiscard]] D2C_KERNEL float total(const Each<float>& of) const {
    float sum = of[0];
#ifdef __CUDA_ARCH__
    // Both of a pair add the same two values: all lanes end with the bits of HostLanes.
    for (int offset = n_lanes / 2; offset > 0; offset /= 2) {
      sum += __shfl_xor_sync(all, sum, offset);
    }
#endif
    return sum;
  }
  [[nodiscard]] D2C_KERNEL float largest(const Each<float>& of) const {
    float result = of[0];
#ifdef __CUDA_ARCH__
    for (int offset = n_lanes / 2; offset > 0; offset /= 2) {
      result = fmaxf(result, __shfl_xor_sync(all, result, offset));
    }
#endif
    return result;
  }
  template <class T>
  [[nodiscard]] D2C_KERNEL T from(const Each<T>& of, int lane) const {
#ifdef __CUDA_ARCH__
    return __shfl_sync(all, of[0], lane);
#else
    return of[lane];
#endif
  }

 private:
  static constexpr unsigned all = 0xffffffffU;
#ifdef __CUDA_ARCH__
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % n_lanes; }
#endif
};

}  // namespace d2c::eval::device
