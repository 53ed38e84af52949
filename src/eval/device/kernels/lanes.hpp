#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "d2c/tensor/matrix.hpp"

/// Kernels are functors `kernel(lanes, task)`: 32 lanes do one task together. A GPU runs them as a
/// warp (cuda/warp_lanes.cuh); HostLanes runs the same functor on the CPU, sums in the same order
/// included, so that all but the launch is tested without a GPU.
#ifdef __CUDACC__
#define D2C_KERNEL __host__ __device__
#else
#define D2C_KERNEL
#endif

namespace d2c::eval::device {

inline constexpr int n_lanes = 32;
inline constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// Lanes one after another. What one lane writes in a call of each() or spread(), others may read
/// only after the call: nothing may depend on which comes first.
class HostLanes {
 public:
  enum class Order { ascending, descending };
  explicit HostLanes(Order order = Order::ascending) : is_descending_(order == Order::descending) {}

  /// A value of its own for each lane.
  template <class T>
  class Each {
   public:
    T& operator[](int lane) { return values_[lane]; }
    const T& operator[](int lane) const { return values_[lane]; }

   private:
    T values_[n_lanes] = {};
  };

  /// f(lane) by every lane.
  template <class F>
  void each(F f) const {
    for (int i = 0; i < n_lanes; ++i) f(is_descending_ ? n_lanes - 1 - i : i);
  }
  /// f(i) for i < n, by lane i % n_lanes.
  template <class F>
  void spread(Index n, F f) const {
    for (Index i = 0; i < n; ++i) f(is_descending_ ? n - 1 - i : i);
  }
  /// f() by one lane.
  template <class F>
  void once(F f) const {
    f();
  }
  /// Sum of the lanes' values, in an order that depends on nothing.
  [[nodiscard]] float total(Each<float> of) const {
    for (int offset = n_lanes / 2; offset > 0; offset /= 2) {
      for (int lane = 0; lane < offset; ++lane) of[lane] += of[lane + offset];
    }
    return of[0];
  }
  [[nodiscard]] float largest(const Each<float>& of) const {
    float result = of[0];
    for (int lane = 1; lane < n_lanes; ++lane) result = std::fmax(result, of[lane]);
    return result;
  }
  /// The value of one lane, for all.
  template <class T>
  [[nodiscard]] T from(const Each<T>& of, int lane) const {
    return of[lane];
  }

 private:
  bool is_descending_;
};

/// Sum of f(i) for i < n: each lane adds up its own, in ascending order.
template <class Lanes, class F>
[[nodiscard]] D2C_KERNEL float sum_of(const Lanes& lanes, Index n, F f) {
  typename Lanes::template Each<float> part;
  lanes.each([&](int lane) {
    float sum = 0.0F;
    for (Index i = lane; i < n; i += n_lanes) sum += f(i);
    part[lane] = sum;
  });
  return lanes.total(part);
}
template <class Lanes, class F>
[[nodiscard]] D2C_KERNEL float largest_of(const Lanes& lanes, Index n, F f) {
  typename Lanes::template Each<float> part;
  lanes.each([&](int lane) {
    float largest = minus_infinity;
    for (Index i = lane; i < n; i += n_lanes) largest = fmaxf(largest, f(i));
    part[lane] = largest;
  });
  return lanes.largest(part);
}

struct alignas(16) Float4 {
  float of[4];
};
[[nodiscard]] D2C_KERNEL inline Float4 load4(const float* from) {
  return *reinterpret_cast<const Float4*>(from);
}

[[nodiscard]] D2C_KERNEL inline float widened(std::uint16_t bf16) {
  const std::uint32_t bits = std::uint32_t{bf16} << 16U;
  float value = 0.0F;
  memcpy(&value, &bits, sizeof(value));
  return value;
}
/// To the nearest BF16 value, ties to even; NaN stays NaN.
[[nodiscard]] D2C_KERNEL inline std::uint16_t rounded(float value) {
  std::uint32_t bits = 0;
  memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>(bits >> 16U | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U);
}

/// Values that products read: float, or BF16 in half the room.
struct Values {
  void* data = nullptr;
  bool is_bf16 = false;

  [[nodiscard]] D2C_KERNEL float get(Index i) const {
    return is_bf16 ? widened(static_cast<const std::uint16_t*>(data)[i])
                   : static_cast<const float*>(data)[i];
  }
  /// Values i .. i + 3. @pre i is a multiple of 4
  [[nodiscard]] D2C_KERNEL Float4 get4(Index i) const {
    if (!is_bf16) return load4(static_cast<const float*>(data) + i);
    struct alignas(8) Four {
      std::uint16_t of[4];
    };
    const Four four = *reinterpret_cast<const Four*>(static_cast<const std::uint16_t*>(data) + i);
    return {{widened(four.of[0]), widened(four.of[1]), widened(four.of[2]), widened(four.of[3])}};
  }
  D2C_KERNEL void set(Index i, float value) const {
    if (is_bf16) {
      static_cast<std::uint16_t*>(data)[i] = rounded(value);
    } else {
      static_cast<float*>(data)[i] = value;
    }
  }
  [[nodiscard]] D2C_KERNEL Values from(Index i) const {
    const Index size = is_bf16 ? 2 : 4;
    return {static_cast<char*>(data) + i * size, is_bf16};
  }
};

}  // namespace d2c::eval::device
