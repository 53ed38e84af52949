#pragma once

#include <cstdlib>
#include <cstring>

#include "device/backend.hpp"

namespace d2c::test {

/// Runs the kernels of a device, one lane after another, on the CPU. Memory is filled with what
/// must not be read.
class HostBackend final : public eval::device::RunningBackend<HostBackend> {
 public:
  using Order = eval::device::HostLanes::Order;
  /// @param order  of tasks, and of the lanes of a task
  explicit HostBackend(std::size_t budget = std::size_t{1} << 30, Order order = Order::ascending)
      : room_(budget), order_(order) {}

  void* allocate(std::size_t bytes) override {
    if (bytes > room_) throw std::bad_alloc();
    room_ -= bytes;
    void* data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(data, 0xff, bytes);  // NaN
    return data;
  }
  void release(void* data, std::size_t bytes) noexcept override {
    room_ += bytes;
    std::free(data);
  }
  void upload(const void* from, std::size_t bytes, void* to) override {
    std::memcpy(to, from, bytes);
  }
  void download(const void* from, std::size_t bytes, void* to) override {
    std::memcpy(to, from, bytes);
  }
  [[nodiscard]] std::size_t room() const override { return room_; }

  void multiply(const eval::device::Product& p) override {
    for (Index i = 0; i < p.m; ++i) {
      for (Index j = 0; j < p.n; ++j) {
        float sum = 0.0F;
        for (Index d = 0; d < p.k; ++d) sum += p.x.get(i * p.k + d) * p.w.get(j * p.k + d);
        float& y = p.y[i * p.n + j];
        y = p.adds ? y + sum : sum;
      }
    }
  }
  template <class Kernel>
  void run(Index tasks, const Kernel& kernel) {
    ++n_launches;
    const eval::device::HostLanes lanes(order_);
    for (Index i = 0; i < tasks; ++i) {
      kernel(lanes, order_ == Order::descending ? tasks - 1 - i : i);
    }
  }

  Index n_launches = 0;

 private:
  std::size_t room_;
  Order order_;
};

}  // namespace d2c::test
