#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace d2c::ops {

inline constexpr std::size_t alignment = 64;  ///< bytes: a cache line, and the widest vector

/// Allocator of cache-line aligned memory.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{alignment}));
  }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{alignment}); }
  bool operator==(const AlignedAllocator&) const = default;
};

using AlignedFloats = std::vector<float, AlignedAllocator<float>>;

}  // namespace d2c::ops
