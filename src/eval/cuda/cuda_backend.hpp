#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include <cuda_runtime.h>

#include "cuda/products.hpp"
#include "device/backend.hpp"

namespace d2c::eval::device {

/// @throws Error that names what was done and what CUDA says
void check(cudaError_t status, const char* what);

/// A GPU: its memory within a budget, and one stream of work.
class CudaBackend final : public RunningBackend<CudaBackend> {
 public:
  /// @param budget  bytes of its memory that may be allocated
  CudaBackend(int device, std::size_t budget);
  ~CudaBackend() override;

  void* allocate(std::size_t bytes) override;
  void release(void* data, std::size_t bytes) noexcept override;
  void upload(const void* from, std::size_t bytes, void* to) override;
  void download(const void* from, std::size_t bytes, void* to) override;
  [[nodiscard]] std::size_t room() const override;

  void multiply(const Product& product) override;
  template <class Kernel>
  void run(Index tasks, const Kernel& kernel);

 private:
  void free_dead() noexcept;

  int device_;
  std::size_t budget_;
  mutable std::mutex memory_;
  std::size_t used_ = 0;
  /// Released, but not freed: that would wait for the kernels.
  std::vector<std::pair<void*, std::size_t>> dead_;
  cudaStream_t stream_;
  cudaStream_t copies_;
  Products products_;
};

}  // namespace d2c::eval::device
