#include <string>

#include "d2c/core/error.hpp"

#include "cuda/cuda_backend.hpp"
#include "cuda/warp_lanes.cuh"

namespace d2c::eval::device {
namespace {

constexpr int warps_per_block = 4;

template <class Kernel>
__global__ void __launch_bounds__(warps_per_block* n_lanes)
    run_tasks(const Kernel kernel, const Index tasks) {
  const Index task = Index{blockIdx.x} * warps_per_block + threadIdx.x / n_lanes;
  if (task < tasks) kernel(WarpLanes(), task);
}

cudaStream_t new_stream(int device) {
  check(cudaSetDevice(device), "choosing the GPU");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  return stream;
}

}  // namespace

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(ExitCode::failure, {},
              {std::string("the GPU failed in ") + what, cudaGetErrorString(status),
               "try again, or use --device cpu"});
}

CudaBackend::CudaBackend(int device, std::size_t budget)
    : device_(device),
      budget_(budget),
      stream_(new_stream(device)),
      copies_(new_stream(device)),
      products_(stream_) {}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_);
  free_dead();
  cudaStreamDestroy(copies_);
  cudaStreamDestroy(stream_);
}

void* CudaBackend::allocate(std::size_t bytes) {
  constexpr std::size_t mib = std::size_t{1} << 20;
  check(cudaSetDevice(device_), "choosing the GPU");
  const std::scoped_lock lock(memory_);
  void* data = nullptr;
  for (const bool is_last : {false, true}) {
    if (used_ + bytes <= budget_ && cudaMalloc(&data, bytes) == cudaSuccess) {
      used_ += bytes;
      return data;
    }
    static_cast<void>(cudaGetLastError());
    if (!is_last) free_dead();
  }
  throw Error(ExitCode::failure, {},
              {"the memory of GPU " + std::to_string(device_) + " is full: " +
                   std::to_string(bytes / mib) + " MiB more than " + std::to_string(used_ / mib) +
                   " of " + std::to_string(budget_ / mib) + " MiB are needed",
               "the model, the adapters in use and a pass lie in it",
               "lower --merged-mib, --batch-tokens or --ranks-per-gpu, or use --compute bf16"});
}

void CudaBackend::release(void* data, std::size_t bytes) noexcept {
  const std::scoped_lock lock(memory_);
  dead_.emplace_back(data, bytes);
}

void CudaBackend::free_dead() noexcept {
  for (const auto& [data, bytes] : dead_) {
    cudaFree(data);
    used_ -= bytes;
  }
  dead_.clear();
}

std::size_t CudaBackend::room() const {
  const std::scoped_lock lock(memory_);
  return budget_ - used_;
}

void CudaBackend::upload(const void* from, std::size_t bytes, void* to) {
  check(cudaSetDevice(device_), "choosing the GPU");
  // Not behind the kernels, which do not know this memory yet.
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, copies_), "a copy to it");
  check(cudaStreamSynchronize(copies_), "a copy to it");
}

void CudaBackend::download(const void* from, std::size_t bytes, void* to) {
  check(cudaSetDevice(device_), "choosing the GPU");
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream_), "a copy from it");
  check(cudaStreamSynchronize(stream_), "its kernels");
  const std::scoped_lock lock(memory_);
  free_dead();
}

void CudaBackend::multiply(const Product& product) { products_.multiply(product); }

template <class Kernel>
void CudaBackend::run(Index tasks, const Kernel& kernel) {
  if (tasks == 0) return;
  const auto blocks = static_cast<unsigned>((tasks + warps_per_block - 1) / warps_per_block);
  run_tasks<<<blocks, warps_per_block * n_lanes, 0, stream_>>>(kernel, tasks);
  check(cudaGetLastError(), "a launch");
}

}  // namespace d2c::eval::device
