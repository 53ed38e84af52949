#pragma once

#include <cstddef>
#include <vector>

namespace d2c::ops {

inline constexpr std::size_t alignment = 64;  ///< bytes: a cache line, and the widest vector

/// Memory aligned to a cache line; large blocks are aligned to huge pages and ask the system for
/// them, because a pass over megabytes of weights otherwise misses the TLB at every other page.
/// @throws std::bad_alloc
[[nodiscard]] void* allocate_aligned(std::size_t bytes);
/// @param bytes  as allocated
void free_aligned(void* memory, std::size_t bytes);

/// Allocator of cache-line aligned memory.
template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  explicit AlignedAllocator(const AlignedAllocator<U>&) {}

  T* allocate(std::size_t n) { return static_cast<T*>(allocate_aligned(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { free_aligned(p, n * sizeof(T)); }
  bool operator==(const AlignedAllocator&) const = default;
};

using AlignedFloats = std::vector<float, AlignedAllocator<float>>;

/// Makes room for n floats, exactly; what the buffer held is lost if it has to grow.
inline void grow_to(AlignedFloats& buffer, std::size_t n) {
  if (buffer.size() >= n) return;
  AlignedFloats().swap(buffer);
  buffer.resize(n);
}

/// Bytes that a vector keeps.
template <class T, class Allocator>
[[nodiscard]] std::size_t held_bytes(const std::vector<T, Allocator>& values) {
  return values.capacity() * sizeof(T);
}

}  // namespace d2c::ops
