#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "device/kernels/lanes.hpp"

namespace d2c::eval::device {

/// Memory of a device. Any thread.
class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  virtual ~Memory() = default;

  /// @return aligned to 256 bytes, not initialised
  /// @throws Error that says what to lower, if the budget is spent
  [[nodiscard]] virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* data, std::size_t bytes) noexcept = 0;
  /// Kernels that are launched afterwards find the values. @pre none that was launched uses `to`
  virtual void upload(const void* from, std::size_t bytes, void* to) = 0;
  /// Waits for all kernels launched before.
  virtual void download(const void* from, std::size_t bytes, void* to) = 0;
  /// Bytes that may still be allocated.
  [[nodiscard]] virtual std::size_t room() const = 0;
};

/// Values on a device.
template <class T>
class Array {
 public:
  explicit Array(Memory& memory) : memory_(&memory) {}
  Array(Memory& memory, std::size_t n) : Array(memory) { fit(n); }
  Array(Array&& other) noexcept
      : memory_(other.memory_),
        data_(std::exchange(other.data_, nullptr)),
        n_(std::exchange(other.n_, 0)) {}
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  Array& operator=(Array&&) = delete;
  ~Array() { release(); }

  /// Makes room for n values; what was there is lost if it grows. @return data()
  T* fit(std::size_t n) {
    if (n <= n_) return data_;
    release();
    data_ = static_cast<T*>(memory_->allocate(n * sizeof(T)));
    n_ = n;
    return data_;
  }
  /// @return data()
  T* assign(std::span<const T> values) {
    fit(values.size());
    write(0, values);
    return data_;
  }
  void write(std::size_t first, std::span<const T> values) {
    if (!values.empty()) memory_->upload(values.data(), values.size_bytes(), data_ + first);
  }
  void read(std::span<T> values) const {
    if (!values.empty()) memory_->download(data_, values.size_bytes(), values.data());
  }
  [[nodiscard]] T* data() const { return data_; }

 private:
  void release() noexcept {
    if (data_ != nullptr) memory_->release(data_, n_ * sizeof(T));
    data_ = nullptr;
    n_ = 0;
  }

  Memory* memory_;
  T* data_ = nullptr;
  std::size_t n_ = 0;
};

/// Values that products read, on a device.
class OperandArray {
 public:
  OperandArray(Memory& memory, bool is_bf16) : bytes_(memory), is_bf16_(is_bf16) {}
  Values fit(Index n) {
    const std::size_t size = is_bf16_ ? sizeof(std::uint16_t) : sizeof(float);
    return {bytes_.fit(static_cast<std::size_t>(n) * size), is_bf16_};
  }
  /// Rounds where the values are BF16. @pre fit() has made room
  void write(Index first, std::span<const float> values);
  [[nodiscard]] Values values() const { return {bytes_.data(), is_bf16_}; }

 private:
  Array<std::byte> bytes_;
  bool is_bf16_;
};

/// Rows that products may read and write behind those that are asked for: up to the next multiple.
inline constexpr Index row_padding = 128;
[[nodiscard]] constexpr Index padded(Index rows) {
  return (rows + row_padding - 1) / row_padding * row_padding;
}

/// y [m, n] = x [m, k] wᵀ, or y += the same. Sums are float32, and the bits of a row of y depend on
/// that row of x and on w alone. x and y have room for padded(m) rows.
struct Product {
  Values x;
  Values w;  ///< [n, k], of the type of x
  float* y = nullptr;
  Index m = 0;
  Index n = 0;
  Index k = 0;
  bool adds = false;
};

}  // namespace d2c::eval::device
